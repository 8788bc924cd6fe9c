# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iptables import cli, host
from iptables.settings import HostFacts
from mesh.errors import ExitCode


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "facts", lambda env, nameservers: HostFacts(("192.0.2.10",)))


def test_a_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lines"
    env = {"DRY_RUN_FILE_PATH": str(file)}
    assert cli.run(["--dry-run", "--istio-inbound-ports=80"], env) == ExitCode.OK
    lines = file.read_text().splitlines()
    assert lines[:3] == ["iptables-save", "ip6tables-save", "* nat"]
    assert lines[-2:] == ["COMMIT", "iptables-save"]
    assert "-A PREROUTING -p tcp -j ISTIO_INBOUND" in capsys.readouterr().out


def test_nothing_is_applied_when_that_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    assert cli.run(["--skip-rule-apply", "-n"], {"DRY_RUN_FILE_PATH": str(file)}) == 0
    assert not file.exists()


def test_exit_codes_of_bad_words_and_bad_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--bogus"], {}) == ExitCode.FAILED
    assert cli.run(["-n", "-p0", "-zx"], {}) == ExitCode.APPLY_FAILED
    errors = capsys.readouterr().err
    assert "unknown flag" in errors
    assert "--envoy-port" in errors
    assert "--inbound-capture-port" in errors


def test_explain_applies_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--explain", "tcp out 10.0.0.5:80 uid 1", "-i*"], {}) == 0
    assert "captured, goes to port 15001" in capsys.readouterr().out
    assert cli.run(["--explain", "nonsense"], {}) == ExitCode.APPLY_FAILED


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["-h"], {}) == 0
    assert "--istio-inbound-ports" in capsys.readouterr().out


HEAVY = {
    "asyncio",
    "dataclasses",
    "subprocess",
    "socket",
    "argparse",
    "inspect",
    "logging",
    "google",
    "yaml",
}


@pytest.mark.parametrize("native", [[], ["--native-nftables"]], ids=["iptables", "nft"])
def test_a_dry_run_stays_light(native: list[str]) -> None:
    """What start-up time is made of: a dry run needs none of these."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from iptables import cli\n"
        f"cli.main(['-n', '--istio-inbound-ports=*', *{native}])\n"
        "print(sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.replace("'", "").strip("[]\n").split(", "))
    assert not loaded & HEAVY
