# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from ctl import cli
from mesh.errors import BadSetting, ExitCode


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main([])
    assert exit_info.value.code == 2
    assert "command" in capsys.readouterr().err


def test_an_error_is_one_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> int:
        raise BadSetting("--envoy", "/nowhere", "no Envoy binary found", hint="install one")

    monkeypatch.setattr("ctl.demo.story.run", broken)
    assert cli.main(["demo", "--envoy", "/nowhere"]) == ExitCode.FAILED
    assert (
        capsys.readouterr().err
        == "Error: --envoy='/nowhere': no Envoy binary found\n  install one\n"
    )


def test_flags_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def record(**flags: object) -> int:
        seen.update(flags)
        return 0

    monkeypatch.setattr("ctl.demo.story.run", record)
    assert cli.main(["demo", "--keep", "--dir", "d"]) == 0
    assert seen == {"keep": True, "directory": "d", "envoy": "", "capture": ""}


def test_capture_goes_on_in_a_namespace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[object] = []
    monkeypatch.setattr("ctl.demo.node.enter", lambda *what: entered.append(what))
    monkeypatch.setattr("ctl.demo.story.run", lambda **flags: entered.append(flags["capture"]))
    cli.main(["demo", "--capture", "nft"])
    assert entered[0] == ("nft", ["demo", "--capture", "nft", "--inside"])
    entered.clear()
    cli.main(["demo", "--capture", "nft", "--inside"])
    assert entered == ["nft"]
