# SPDX-License-Identifier: Apache-2.0
"""Each flag of the peer's commands is known, and what it says arrives. Source: spec/agent.md 1.1-1.5."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import mesh.log
from agent import cli
from agent.flags import parse

PROXY = [
    ("--domain", "d", "domain", "d", ""),
    ("--meshConfig", "/m", "mesh_config", "/m", "./etc/istio/config/mesh"),
    ("--stsPort", "7", "sts_port", 7, 0),
    ("--serviceCluster", "c", "service_cluster", "c", "istio-proxy"),
    ("--proxyLogLevel", "info,x:debug", "proxy_log_level", "info,x:debug", "warning"),
    ("--proxyComponentLogLevel", "x:debug", "proxy_component_log_level", "x:debug", ""),
    ("--concurrency", "2", "concurrency", 2, 0),
    ("--templateFile", "/t", "template_file", "/t", ""),
    ("--outlierLogPath", "/o", "outlier_log_path", "/o", ""),
    ("--profiling", "false", "profiling", False, True),
    ("--log_as_json", "true", "log_as_json", True, False),
]


@pytest.mark.parametrize(("flag", "value", "field", "expected", "default"), PROXY)
def test_of_proxy(flag: str, value: str, field: str, expected: object, default: object) -> None:
    known = cli.LOGGING | cli.PROXY
    assert getattr(cli._flags(parse([f"{flag}={value}"], known)), field) == expected
    assert getattr(cli._flags(parse([], known)), field) == default


def test_proxy_tolerates_what_it_does_not_know_and_ignores_a_token_manager() -> None:
    words = ["router", "--tokenManagerPlugin", "x", "--unheard", "of", "--more=1", "--domain", "d"]
    parsed = parse(words, cli.LOGGING | cli.PROXY, tolerant=True)
    assert parsed.unknown == ["--unheard", "--more=1"]
    assert cli._flags(parsed).kind == "router"
    assert cli._flags(parsed).domain == "d"


@pytest.mark.parametrize("word", ["--nothing", "--debug-port", "--debug-port=x"])
def test_other_commands_tolerate_nothing(word: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["request", "GET", "/x", word]) == 255
    assert "Error: " in capfd.readouterr().err


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    mesh.log.configure()


def test_of_logging(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--log_target", "stdout", "--log_as_json", "--log_output_level", "xds:debug,warn"]
    words += ["--log_stacktrace_level", "default:none", "--log_caller", "all", "--vklog=1"]
    cli._configure_log(parse(words, cli.LOGGING))
    mesh.log.get("xds").debug("told")
    mesh.log.get().info("not told")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["msg"] == "told"


def test_a_level_that_is_none_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wait", "--log_output_level=loud"]) == 255
    assert "loud" in capfd.readouterr().err


class _Answers(BaseHTTPRequestHandler):
    """404 with a body for GET, 500 for POST."""

    def do_GET(self) -> None:
        self._say(404)

    def do_POST(self) -> None:
        self._say(500)

    def _say(self, status: int) -> None:
        body = f"{self.command} {self.path}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of the base
        pass


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a small server, which ``request`` is allowed to ask."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(cli, "DEBUG_PORTS", (*cli.DEBUG_PORTS, server.server_port))
        yield server.server_port
        server.shutdown()
        thread.join()


def test_request_prints_the_body_alone_also_of_a_404(
    answering: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["request", "--debug-port", str(answering), "GET", "/a/b?c"]) == 0
    assert capfd.readouterr() == ("GET /a/b?c\n", "")


def test_request_fails_with_status_and_body(
    answering: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["request", f"--debug-port={answering}", "POST", "x"]) == 255
    assert "received unsuccessful status code 500: POST /x" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words", [["GET"], [], ["GET", "/", "--debug-port", "80"], ["GET", "/", "--debug-port=15001"]]
)
def test_request_asks_nobody_else(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["request", *words]) == 255
    assert "Error: " in capfd.readouterr().err


def test_wait_gives_up_with_the_last_reason(
    answering: int, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{answering}/healthz/ready"
    words = ["wait", "--url", url, "--timeoutSeconds=1", "--periodMillis=50"]
    assert cli.main([*words, "--requestTimeoutMillis", "5000"]) == 255
    assert "404" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([], "client version: version.BuildInfo{Version:"),
        (["--short"], "client version: "),
        (["-s"], "client version: "),
        (["--output", "json"], '{\n  "clientVersion": {'),
        (["-o", "yaml"], "clientVersion:\n  version: "),
    ],
)
def test_version(words: list[str], start: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version", *words]) == 0
    assert capfd.readouterr().out.startswith(start)


def test_version_has_no_other_form(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version", "-o", "xml"]) == 255
    assert "must be 'yaml' or 'json'" in capfd.readouterr().err


def test_capture_is_the_same_program(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["istio-iptables", "--help"]) == 0
    assert "--istio-inbound-ports" in capfd.readouterr().out
    assert cli.main(["istio-iptables", "--bogus"]) == 255


def test_the_plan_of_an_end_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "PROXY_CONFIG", "{controlPlaneAuthPolicy: NONE, terminationDrainDuration: 7s}"
    )
    monkeypatch.setenv("PILOT_CERT_PROVIDER", "none")
    monkeypatch.setenv("FILE_MOUNTED_CERTS", "true")
    assert cli.main(["shutdown-plan"]) == 0
    assert "drain" in (told := capfd.readouterr().out)
    assert "7.0 s" in told


def test_a_stored_identity_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("PILOT_IDENTITY_DIR", raising=False)
    assert cli.main(["forget-identity"]) == 255
    assert "PILOT_IDENTITY_DIR" in capfd.readouterr().err
    monkeypatch.setenv("PILOT_IDENTITY_DIR", str(tmp_path))
    assert cli.main(["forget-identity"]) == 0
    assert "no identity is stored" in capfd.readouterr().out
    own = tmp_path / "pilothouse-identity"
    own.mkdir(mode=0o700)
    (own / "identity.json").write_text("{}")
    assert cli.main(["forget-identity"]) == 0
    assert capfd.readouterr().out == f"removed {own}\n"
    assert not own.exists()


def test_without_a_command_there_is_help_and_an_unknown_one_is_an_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 0
    assert "proxy [type]" in capfd.readouterr().out
    assert cli.main(["prox"]) == 255
    assert "unknown command" in capfd.readouterr().err
