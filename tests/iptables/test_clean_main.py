# SPDX-License-Identifier: Apache-2.0
"""The old name of cleaning: the same flags, and nothing but removal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from iptables import cli, host
from iptables.settings import HostFacts


def test_clean_main_only_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "lines"
    monkeypatch.setattr(host, "facts", lambda env, nameservers: HostFacts(("192.0.2.10",)))
    monkeypatch.setattr(sys, "argv", ["istio-clean-iptables", "-n", "--istio-inbound-ports=*"])
    monkeypatch.setenv("DRY_RUN_FILE_PATH", str(lines))
    assert cli.clean_main() == 0
    told = lines.read_text() if lines.exists() else capfd.readouterr().out
    assert " -D " in told or " -X " in told
    assert " -A " not in told
