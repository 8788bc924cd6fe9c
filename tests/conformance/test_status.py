# SPDX-License-Identifier: Apache-2.0
"""The pages on statusPort against the peer's own cases: probes, readiness, quitting, what is scraped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from agent import http1
from agent.branches import status_branch
from agent.environment import Environment
from agent.httpd import Request
from agent.status.health import Health
from agent.status.options import CallOptions, StatusOptions
from agent.status.probers import app_probers
from agent.status.prometheus import (
    Collisions,
    ScrapeOptions,
    ScrapeTarget,
    is_reserved,
    merged_type,
    scrape_config,
    target_list,
)
from mesh.errors import BadSetting, EnvoyFailed
from mesh.proxyconfig import ProxyConfig
from tests.conformance.runner import Case, cases
from tests.support.apps import h2_app, health_app, http_app, tls_of_app
from tests.support.http import Reader, Scripted, Writer, plain, talking
from tests.support.status import Rig, status_server

App = Callable[[Reader, Writer], Awaitable[None]]


@cases("status/prober_validation")
def test_prober_validation(case: Case) -> None:
    expect = case.data["expect"]
    if expect["ok"]:
        assert app_probers(case.data["prober_json"])
        return
    with pytest.raises(BadSetting) as error:
        app_probers(case.data["prober_json"])
    assert expect["error_contains"] in str(error.value)


async def backend(request: web.BaseRequest) -> web.Response:
    """What the suite says that the application does."""
    path = request.path
    if path.startswith("/header"):
        asked = (request.headers.get("Host"), request.headers.get("Some-Header"))
        return web.Response(status=200 if asked == ("test.com:9999", "some-value") else 400)
    redirects = {
        "/redirect": "/",
        "/redirect-loop": "/redirect-loop",
        "/remote-redirect": "http://example.com/foo",
    }
    if path in redirects:
        return web.Response(status=301, headers={"Location": redirects[path]})
    if path.startswith("/status/"):
        return web.Response(status=int(path.rpartition("/")[2]), headers={"Location": "/"})
    return web.Response(text="welcome, it works" if path == "/" else "")


def options_of(case: Case, probers: Any, app_port: int) -> StatusOptions:
    given = case.data.get("options", {})
    text = json.dumps(probers).replace('"$APP_PORT"', str(app_port))
    call = CallOptions(
        host=given.get("pod_ip") or "localhost",
        source="::1" if given.get("ipv6") else "127.0.0.6",
    )
    return StatusOptions(probers=app_probers(text), app=call)


async def ask(rig: Rig, request: dict[str, Any]) -> http1.Reply:
    flat = [
        (name, value)
        for name, values in request.get("headers", {}).items()
        for value in ([values] if isinstance(values, str) else values)
        if value
    ]
    target = http1.Target("127.0.0.1", rig.port, request["path"], request.get("method", "GET"))
    return await http1.ask(target, timeout=20, headers=flat)


@cases("status/app_probe")
async def test_app_probe(case: Case) -> None:
    async with (
        http_app(backend) as port,
        status_server(options_of(case, case.data["probers"], port)) as rig,
    ):
        reply = await ask(rig, case.data["request"])
    assert reply.status == case.data["expect"]["status"]
    if "body" in case.data["expect"]:
        assert reply.text == case.data["expect"]["body"]


@cases("status/app_probe_headers")
async def test_app_probe_headers(case: Case) -> None:
    seen: list[dict[str, list[str]]] = []

    async def recording(request: web.BaseRequest) -> web.Response:
        names = [name.title() for name in request.headers]
        found = {name: request.headers.getall(name) for name in names}
        ignored = ("User-Agent", "Accept-Encoding", "Host")
        seen.append({name: found[name] for name in found if name not in ignored})
        return web.Response()

    rows = case.data["prober_http_headers"]
    action = {"path": "/header", "port": "$APP_PORT", "httpHeaders": rows}
    path = "/app-health/hello-world/livez"
    async with (
        http_app(recording) as port,
        status_server(options_of(case, {path: {"httpGet": action}}, port)) as rig,
    ):
        reply = await ask(rig, {"path": path, "headers": case.data["request_headers"]})
    assert reply.status == case.data["expect"]["status"]
    assert seen == [case.data["expect"]["backend_headers"]]


@cases("status/app_probe_https")
async def test_app_probe_https(case: Case) -> None:
    offered = case.data["backend_alpn"]
    saw: list[str] = []

    async def recording(_: web.BaseRequest) -> web.Response:
        saw.append("HTTP/1.1")
        return web.Response()

    tls = tls_of_app(offered)
    only_h1 = offered in (None, ["http/1.1"])
    async with (
        http_app(recording, tls=tls) if only_h1 else h2_app(tls) as port,
        status_server(options_of(case, case.shared["probers"], port)) as rig,
    ):
        reply = await ask(rig, case.data["request"])
    expect = case.data["expect"]
    assert reply.status == expect["status"]
    if expect["backend_saw_protocol"] == "HTTP/2.0":
        assert reply.text == "over h2"
    else:
        assert saw == ([expect["backend_saw_protocol"]] if expect["backend_saw_protocol"] else [])


@cases("status/app_probe_grpc")
async def test_app_probe_grpc(case: Case) -> None:
    services = {"": 1, "serving-svc": 1, "unknown-svc": 0, "not-serving-svc": 2}
    async with (
        health_app(services) as port,
        status_server(options_of(case, case.shared["probers"], port)) as rig,
    ):
        reply = await ask(rig, case.data["request"])
    assert reply.status == case.data["expect"]["status"]


class ScriptedAdmin:
    """Envoy's admin port, step by step."""

    def __init__(self) -> None:
        self.text: str | None = None

    async def get(self, path: str, *, timeout: float) -> str:
        if self.text is None:
            raise EnvoyFailed("connection refused")
        return self.text


@cases("status/readiness")
async def test_readiness(case: Case) -> None:
    admin = ScriptedAdmin()
    cause = ""
    extra = [
        (lambda word=word: "" if word == "ready" else word)
        for word in case.data.get("extra_probes", [])
    ]
    health = Health(admin, extra=extra, stopped=lambda: cause)
    async with status_server(health=health) as rig:
        for step in case.data["steps"]:
            closed = step.get("envoy_admin") == "closed"
            admin.text = None if closed else step["envoy_stats"]
            cause = "terminated" if step.get("agent_terminating") else ""
            reply = await ask(rig, {"path": "/healthz/ready"})
            assert reply.status == (200 if step["expect"]["ready"] else 503)
            if "error" in step["expect"]:
                assert health.fault == step["expect"]["error"]


@cases("status/quit")
async def test_quit(case: Case) -> None:
    async with status_server() as rig:
        asked = case.data["request"]
        request = Request(asked["method"], asked["path"], "", (), asked["remote_addr"])
        reply = await rig.server.answer(request)
        assert reply.status == case.data["expect"]["status"]
        await ask(rig, {"path": "/nothing"})  # a turn of the loop
    assert bool(rig.life.quits) == case.data["expect"]["shutdown"]


@cases("status/reserved_ports")
def test_reserved_ports(case: Case) -> None:
    assert is_reserved(case.data["port"]) == case.data["expect"]["reserved"]


@cases("status/scrape_target_list")
def test_scrape_target_list(case: Case) -> None:
    if case.data["expect"]["error"]:
        with pytest.raises(ValueError, match="names no port"):
            target_list(case.data["input"])
        return
    found = [target._asdict() for target in target_list(case.data["input"])]
    assert found == case.data["expect"]["targets"]


@cases("status/prometheus_env")
def test_prometheus_env(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    faults: list[BadSetting] = []
    status_branch(
        Environment(data["env"]),
        ProxyConfig.from_raw({"statusPort": data["status_port"]}),
        data["node_type"],
        ("10.0.0.1",),
        faults,
        with_envoy=True,
    )
    assert bool(faults) == expect["error"]
    if expect["error"]:
        return
    text = data["env"]["ISTIO_PROMETHEUS_ANNOTATIONS"]
    config = scrape_config(text, status_port=data["status_port"])
    assert [target._asdict() for target in config.targets] == expect["targets"]
    assert config.port == expect.get("port", config.port)


@cases("status/metrics_content_type")
def test_metrics_content_type(case: Case) -> None:
    assert merged_type(case.data["content_type"]) == case.data["expect"]["format"]


def metrics_app(body: str | None, *, kind: str | None = None, status: int | None = 200) -> Scripted:
    code = status or 200
    return Scripted(plain(body or "", status=f"{code} X", kind=kind or "text/plain"))


async def scraped(
    envoy: App, apps: list[App], *, headers: dict[str, Any] | None = None, **options: Any
) -> tuple[http1.Reply, Rig]:
    """One scrape of these."""
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(talking(envoy))
        ports = [await stack.enter_async_context(talking(app)) for app in apps]
        targets = tuple(ScrapeTarget(str(each), "/metrics") for each in ports)
        scrape = ScrapeOptions(envoy_port=port, targets=targets, **options)
        rig = await stack.enter_async_context(status_server(StatusOptions(scrape=scrape)))
        reply = await ask(rig, {"path": "/stats/prometheus", "headers": headers or {}})
    return reply, rig


def parse(reply: http1.Reply) -> None:
    """By prometheus-client's own parsers. Raises ValueError."""
    kind = header(reply, "content-type")
    if kind.startswith("application/openmetrics-text"):
        list(openmetrics(reply.text))  # type: ignore[no-untyped-call]  # untyped there
    else:
        list(text_format(reply.text))


def header(reply: http1.Reply, name: str) -> str:
    return next((value for key, value in reply.headers if key == name), "")


@cases("status/stats_merge")
async def test_stats_merge(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    envoy = metrics_app(data["envoy_body"], status=data.get("envoy_status"))
    app = metrics_app(data["app_body"], status=data.get("app_status"))
    # the peer joins texts that collide as they are: our default mends that
    peer = expect.get("text_parse_error", False)
    collisions = Collisions.CONCATENATE if peer else Collisions.AUTO
    reply, _ = await scraped(envoy, [app], collisions=collisions)
    assert reply.status == expect["status"]
    for text in expect.get("contains", []):
        assert text in reply.text
    if not peer:
        parse(reply)
        return
    mended, _ = await scraped(envoy, [app])
    parse(mended)
    assert mended.text.count("# TYPE my_metric ") == 1


@cases("status/stats_multi_target")
async def test_stats_multi_target(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    apps: list[App] = [
        metrics_app(each["body"], kind=each["content_type"], status=each["status"])
        for each in data["targets"]
    ]
    limit = data.get("options", {}).get("max_app_body_bytes")
    options: dict[str, Any] = {"max_body": limit} if limit else {}
    envoy = metrics_app(data["envoy_body"])
    if expect.get("parse_error"):  # as the peer joins texts that collide; our default mends that
        mended, _ = await scraped(envoy, apps, headers=data.get("request_headers"))
        parse(mended)
        assert mended.text.count("\nmetric_x ") == 1
        options["collisions"] = Collisions.CONCATENATE
    reply, rig = await scraped(envoy, apps, headers=data.get("request_headers"), **options)
    assert reply.status == expect["status"]
    assert rig.own.failures.get("application", 0) == expect["app_scrape_errors"]
    assert header(reply, "content-type") == expect.get(
        "content_type", header(reply, "content-type")
    )
    text = reply.text
    for part in expect.get("contains", []):
        assert part in text
    for part in expect.get("not_contains", []):
        assert part not in text
    assert text.count("# EOF") == expect.get("eof_count", text.count("# EOF"))
    assert text.endswith(expect.get("ends_with", ""))
    places = [text.index(part) for part in expect.get("ordered", [])]
    assert places == sorted(places)


class Negotiating:
    """An application that answers in the format it is asked for; by what prometheus-client understands."""

    def __init__(self, bodies: dict[str, str]) -> None:
        self._bodies = bodies

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        accept = next(
            (
                row.partition(":")[2]
                for row in head.split("\r\n")
                if row.lower().startswith("accept:")
            ),
            "",
        ).strip()
        assert "protobuf" not in accept
        _, kind = choose_encoder(accept)
        form = "openmetrics" if "openmetrics" in kind else "text"
        writer.write(plain(self._bodies[form], kind=kind))
        await writer.drain()


@cases("status/stats_app_format")
async def test_stats_app_format(case: Case) -> None:
    headers = {"Accept": case.data["accept"]} if case.data["accept"] else {}
    app = Negotiating(case.data["app_bodies"])
    reply, _ = await scraped(metrics_app(case.data["envoy_body"]), [app], headers=headers)
    assert reply.status == case.data["expect"]["status"]
    parse(reply)


@cases("status/stats_accept")
async def test_stats_accept(case: Case) -> None:
    bodies = {"text": "# TYPE a counter\na 1\n", "openmetrics": "# TYPE a gauge\na 1\n# EOF\n"}
    app = Negotiating(bodies)
    reply, _ = await scraped(app, [app], headers={"Accept": case.data["accept"]})
    media = header(reply, "content-type").partition(";")[0]
    assert (reply.status, media) == (
        case.data["expect"]["status"],
        case.data["expect"]["media_type"],
    )


@cases("status/stats_compression")
async def test_stats_compression(case: Case) -> None:
    size = case.data["envoy_body_bytes_at_least"]
    envoy = metrics_app("a_metric 1\n" * (size // 11 + 1))
    reply, _ = await scraped(envoy, [], headers=case.data["request"]["headers"])
    assert reply.status == case.data["expect"]["status"]
    assert header(reply, "content-encoding") == case.data["expect"]["content_encoding"]
