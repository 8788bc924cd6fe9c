# SPDX-License-Identifier: Apache-2.0
"""Headers of probes may hold credentials: nothing that a real agent tells or writes has one of them."""

from __future__ import annotations

import contextlib
import json
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.admin.api import PAGES, PREFIX
from agent.settings import World, load
from ctl import bundle
from ctl.agent import AgentApi
from mesh.errors import BadSettings
from tests.support.live_sidecar import Sidecar, sidecar

pytestmark = pytest.mark.envoy

CANARY = "canary-of-a-probe"
HEADERS = [
    {"name": "Authorization", "value": f"Bearer {CANARY}"},
    {"name": "X-Api-Key", "value": f"{CANARY}, and more"},
    {"name": "Cookie", "value": f'session="{CANARY}"'},
    {"value": f"quoted \\ {CANARY}", "name": "X-Own"},
]
REFUSED, ANSWERED = "/app-health/client/livez", "/app-health/client/readyz"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sidecar, list[str]]]:
    """A real agent that probed, was probed, and failed at it; what the application heard of the canary."""
    directory = tmp_path_factory.mktemp("s")
    with _application() as (port, heard):
        asks = {"path": f"/healthz?token={CANARY}", "port": port, "httpHeaders": HEADERS}
        probers = {ANSWERED: {"httpGet": asks}, REFUSED: {"httpGet": {**asks, "port": 1}}}
        env = {
            "ISTIO_KUBE_APP_PROBERS": json.dumps(probers),
            "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION": "true",
        }
        probe = {"httpGet": {**asks, "host": "127.0.0.1"}, "periodSeconds": 1}
        flags = ("--log_output_level", "all:debug")
        with sidecar(directory, env, config={"readinessProbe": probe}, flags=flags) as agent:
            for path in (ANSWERED, REFUSED):
                _probe(agent, path)
            agent.waited("workload is healthy")
            yield agent, heard


@contextlib.contextmanager
def _application() -> Iterator[tuple[int, list[str]]]:
    """A port, and the heads that it heard."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path}\n{self.headers}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()
            thread.join()


def _probe(agent: Sidecar, path: str) -> None:
    """As the kubelet: it sends the headers itself."""
    url = f"http://127.0.0.1:{agent.workload.status_port}{path}?key={CANARY}"
    headers = {header["name"]: header["value"] for header in HEADERS}
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60).close()


@pytest.fixture(scope="module")
def pages(told: tuple[Sidecar, list[str]]) -> dict[str, str]:
    agent, _ = told
    api = AgentApi(unix=agent.socket, token_file=str(agent.token_file))
    names = [
        page.path.removeprefix(f"{PREFIX}/")
        for page in PAGES
        if page.method == "GET" and page.path.startswith(PREFIX) and "event" not in page.kind
    ]
    return {name: api.text(name) for name in names}


def test_the_application_did_hear_them(told: tuple[Sidecar, list[str]]) -> None:
    """Otherwise nothing is shown here."""
    assert [each for each in told[1] if CANARY in each]


def test_no_page_has_them(pages: dict[str, str]) -> None:
    assert [name for name, text in pages.items() if CANARY in text] == []
    assert {"status", "settings"} <= pages.keys()


def test_the_probes_themselves_are_shown(pages: dict[str, str]) -> None:
    assert json.loads(pages["status"])["probes"][ANSWERED]["status"] == 200
    rows = {row["name"]: row["value"] for row in json.loads(pages["settings"])["settings"]}
    for name in ("ISTIO_KUBE_APP_PROBERS", "PROXY_CONFIG", "proxyConfig.readinessProbe"):
        assert "X-Api-Key" in rows[name], name


def test_neither_the_log_nor_the_reasons_nor_the_bundle(
    told: tuple[Sidecar, list[str]], tmp_path: Path
) -> None:
    agent, _ = told
    assert "app probe failed" in agent.log
    assert CANARY not in agent.log
    status = f"http://127.0.0.1:{agent.workload.status_port}"
    for path in ("/healthz/ready?verbose", "/metrics", "/debug/pprof/cmdline"):
        with urllib.request.urlopen(f"{status}{path}", timeout=60) as reply:
            assert CANARY.encode() not in reply.read()
    path = str(tmp_path / "bundle.tar.gz")
    bundle.write(AgentApi(unix=agent.socket), path, 0.0)
    with tarfile.open(path) as archive:
        for entry in archive.getmembers():
            file = archive.extractfile(entry)
            assert file is not None
            assert CANARY.encode() not in file.read(), entry.name


BROKEN = json.dumps({ANSWERED: {"httpGet": {"port": "http", "httpHeaders": HEADERS}}})


@pytest.mark.parametrize(
    "env",
    [
        {"ISTIO_KUBE_APP_PROBERS": BROKEN},
        {"ISTIO_KUBE_APP_PROBERS": BROKEN[:-3]},
        {"PROXY_CONFIG": f"readinessProbe: {BROKEN}: x"},
        {
            "PROXY_CONFIG": json.dumps(
                {"readinessProbe": {"httpGet": {"port": "http", "httpHeaders": HEADERS}}}
            )
        },
    ],
)
def test_a_refused_start_says_which_setting_and_not_what_is_sent(env: dict[str, str]) -> None:
    with pytest.raises(BadSettings) as caught:
        load(World(env=env, addresses=(("eth0", "10.0.0.5"),)))
    assert CANARY not in str(caught.value)
    assert any(name in str(caught.value) for name in (*env, "readinessProbe"))
