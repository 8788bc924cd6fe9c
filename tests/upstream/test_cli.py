# SPDX-License-Identifier: Apache-2.0
"""The program as a shell sees it: exit codes, what goes to which stream, and one whole life."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from upstream import addresses, development, tokens
from upstream.cli import main
from upstream.options import Address


def test_all_faults_are_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discovery", "--registries=Mock", "--grpcAddr=x"]) == 255
    out, err = capsys.readouterr()
    assert out == ""
    assert [line for line in err.splitlines() if line.startswith("Error: ")] == [
        "Error: --grpcAddr='x': is not host:port",
        "Error: --configDir='': is the only source of configuration and is not set",
        "Error: --registries='Mock': service registry not supported; files need none: --registries=",
    ]


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 255
    assert "command" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert re.match(r"\d+\.\d+", capsys.readouterr().out)


def token(state: Path, *more: str) -> int:
    account = ["--namespace", "demo", "--service-account", "client"]
    return main(["token", "--state-dir", str(state), *account, *more])


def test_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(tmp_path, "--ttl", "1h") == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    issuer = tokens.development_issuer(development.development_key(str(tmp_path)), ["istio-ca"])
    found = tokens.judge(printed.strip(), issuer, now=time.time())
    assert found == tokens.ServiceAccount("demo", "client")


def test_token_is_refused_where_nobody_believes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses.publish(str(tmp_path), {"secure_grpc": Address(host="0.0.0.0", port=15012)})
    assert token(tmp_path) == 255
    out, err = capsys.readouterr()
    assert out == ""
    assert "the TLS port is not bound to loopback" in err


def test_token_with_a_strange_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(tmp_path, "--for=ever") == 255
    assert "--for=ever" in capsys.readouterr().err


def test_a_whole_life(tmp_path: Path) -> None:
    config, state = tmp_path / "config", tmp_path / "state"
    config.mkdir()
    argv = [
        *[sys.executable, "-m", "upstream.cli", "discovery", "--registries=", "--httpsAddr="],
        *["--configDir", str(config), "--meshConfig", str(tmp_path / "mesh.yaml")],
        *["--state-dir", str(state), "--grpcAddr", "127.0.0.1:0", "--httpAddr", "127.0.0.1:0"],
        *["--secureGRPCAddr", "127.0.0.1:0", "--monitoringAddr", "127.0.0.1:0", "--plugins=x"],
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as program:
        try:
            book = _published(state, program)
            assert set(book) == {"grpc", "secure_grpc", "http", "monitoring"}
            with urllib.request.urlopen(f"http://{book['http']}/ready", timeout=10) as reply:
                assert reply.status == 200
            program.send_signal(signal.SIGTERM)
            out, _ = program.communicate(timeout=20)
        finally:
            program.kill()
    assert program.returncode == 0
    assert "flag --plugins is unknown and ignored" in out
    assert "starting gRPC discovery service" in out
    assert not (state / "addresses.json").exists()
    assert (state / "root-cert.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


def _published(state: Path, program: subprocess.Popen[str]) -> dict[str, str]:
    deadline = time.monotonic() + 30
    while not (state / "addresses.json").exists():
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, str] = json.loads((state / "addresses.json").read_text())
    return found


def test_address_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "config").mkdir()
        argv = ["discovery", "--registries=", "--configDir", str(tmp_path / "config")]
        argv += ["--httpsAddr=", "--httpAddr=", "--monitoringAddr=", "--secureGRPCAddr="]
        argv += ["--state-dir", str(tmp_path / "state"), "--grpcAddr", f"127.0.0.1:{port}"]
        assert main(argv) == 255
    assert "in use" in capsys.readouterr().err
