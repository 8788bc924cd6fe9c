# SPDX-License-Identifier: Apache-2.0
"""Which words each Envoy is started with, and what is removed when the last is gone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.envoy import chain
from agent.envoy.command import EnvoyArguments
from agent.envoy.launcher import Launcher
from agent.envoy.options import HotRestartOptions, ProcessOptions
from mesh.errors import EnvoyFailed


def launcher(directory: Path, *, enabled: bool = True) -> Launcher:
    options = HotRestartOptions(
        enabled=enabled,
        socket=str(directory / "HOT"),
        xds_socket=str(directory / "XDS"),
        admin_socket=str(directory / "REHEARSAL"),
    )
    made = Launcher(EnvoyArguments(binary="/envoy", override='{"a":1}'), ProcessOptions(), options)
    made.bootstrap = "envoy-rev.json"
    return made


def option(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_peers_words_unless_hot_restart_is_asked_for(tmp_path: Path) -> None:
    command = launcher(tmp_path, enabled=False).first().command
    assert command[:3] == ("/envoy", "-c", "envoy-rev.json")
    assert "--disable-hot-restart" in command
    assert "--restart-epoch" not in command


def test_the_first_of_a_chain(tmp_path: Path) -> None:
    command = launcher(tmp_path).first().command
    assert "--disable-hot-restart" not in command
    assert option(command, "--restart-epoch") == "0"
    assert option(command, "--config-yaml") == '{"a":1}', "no gate before the first"


def test_a_rehearsal_touches_nobody(tmp_path: Path) -> None:
    command = launcher(tmp_path).rehearsal("/new", "g").command
    assert command[0] == "/new"
    assert "--disable-hot-restart" in command
    override = json.loads(option(command, "--config-yaml"))
    assert override["a"] == 1
    assert override["admin"]["address"] == {"pipe": {"path": str(tmp_path / "REHEARSAL")}}


def test_the_following(tmp_path: Path) -> None:
    made = launcher(tmp_path)
    (tmp_path / "HOT.id").write_text("42")
    process = made.following("/new", "g", epoch=3)
    assert process.epoch == 3
    assert option(process.command, "--restart-epoch") == "3"
    assert option(process.command, "--base-id") == "42"
    assert "admin" not in json.loads(option(process.command, "--config-yaml"))


@pytest.mark.parametrize("text", [None, "", "many"])
def test_a_chain_without_a_number(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "HOT.id").write_text(text)
    with pytest.raises(EnvoyFailed, match="number of the chain"):
        launcher(tmp_path).following("/new", "g", epoch=1)


def test_what_a_chain_leaves_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    monkeypatch.setattr(chain, "shared_memory", lambda _: str(memory))
    for name in ("HOT.id", "HOT_parent_420", "HOT_udp_child_421", "REHEARSAL", "HOTEL", "XDS"):
        (tmp_path / name).write_text("42")
    memory.write_bytes(bytes(104))
    launcher(tmp_path).sweep()
    assert sorted(os.listdir(tmp_path)) == ["HOTEL", "XDS"]
    launcher(tmp_path).sweep()  # nothing any more


def test_the_mark_of_a_dead_epoch_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    monkeypatch.setattr(chain, "shared_memory", lambda _: str(memory))
    (tmp_path / "HOT.id").write_text("42")
    made = launcher(tmp_path)
    assert not made.forget_unfinished(chain.KNOWN_LAYOUT), "no memory there"
    memory.write_bytes(b"\1" * 104)
    assert not made.forget_unfinished("12.104"), "another layout is not touched"
    assert memory.read_bytes() == b"\1" * 104
    assert made.forget_unfinished(chain.KNOWN_LAYOUT)
    assert memory.read_bytes() == b"\1" * 96 + bytes(8)
