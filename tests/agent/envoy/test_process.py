# SPDX-License-Identifier: Apache-2.0
"""The child: its environment, its group, its user, its log, its end. A shell stands in for Envoy."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent.envoy.binary import CannotRun
from agent.envoy.options import ProcessOptions
from agent.envoy.process import EnvoyProcess
from mesh.errors import EnvoyFailed

WAIT = 20.0


def shell(script: str, **options: object) -> EnvoyProcess:
    given = ProcessOptions(environment={"PATH": os.defpath}, **options)  # type: ignore[arg-type]  # fields by name
    return EnvoyProcess(given, ["/bin/sh", "-c", script])


async def ended(process: EnvoyProcess) -> int:
    return await asyncio.wait_for(process.wait(), WAIT)


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -11 $$", -11)])
async def test_how_it_ended(script: str, status: int) -> None:
    process = shell(script)
    assert (process.pid, process.alive) == (0, False)
    await process.start()
    assert process.pid
    assert await ended(process) == status
    assert not process.alive


async def test_exactly_the_given_environment(tmp_path: Path) -> None:
    options = ProcessOptions(environment={"PATH": os.defpath, "ONLY": "this"})
    process = EnvoyProcess(options, ["/bin/sh", "-c", f"env > {tmp_path / 'env'}"])
    await process.start()
    await ended(process)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "ONLY"}


async def test_a_group_of_its_own_dies_together(tmp_path: Path) -> None:
    process = shell(
        f"sleep 1000 & echo $! > {tmp_path / 'pid'}.new; mv {tmp_path / 'pid'}.new {tmp_path / 'pid'}; wait"
    )
    await process.start()
    async with asyncio.timeout(WAIT):
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
    grandchild = int((tmp_path / "pid").read_text())
    assert os.getpgid(process.pid) == process.pid == os.getpgid(grandchild)
    process.kill()
    assert await ended(process) == -signal.SIGKILL
    async with asyncio.timeout(WAIT):
        while not gone(grandchild):
            await asyncio.sleep(0.01)
    process.kill()  # nothing any more


def gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


async def test_a_binary_that_is_not_there(tmp_path: Path) -> None:
    process = EnvoyProcess(ProcessOptions(), [str(tmp_path / "envoy")])
    with pytest.raises(CannotRun, match="no such file"):
        await process.start()
    await process.close()


async def test_waiting_needs_a_start() -> None:
    with pytest.raises(EnvoyFailed, match="BUG"):
        await shell("exit 0").wait()


async def test_no_child_is_left_behind() -> None:
    process = shell("sleep 1000")
    await process.start()
    await asyncio.wait_for(process.close(), WAIT)
    assert not process.alive


async def test_lines_of_the_child_become_lines_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    line = "[2026-01-02 03:04:05.678][7][warning][config] [source/x.cc:12] strange"
    process = shell(f"echo '{line}' >&2; printf 'last words' >&2; exit 3", one_log=True)
    await process.start()
    assert await ended(process) == 3
    out, err = capfd.readouterr()
    first, second = (each.split("\t") for each in out.splitlines())
    assert first[1:4] == ["warn", "envoy", "strange"]
    assert "component=config" in first[4]
    assert second[1:4] == ["info", "envoy", "last words"]
    assert err == ""


async def test_by_default_it_writes_them_itself(capfd: pytest.CaptureFixture[str]) -> None:
    process = shell("echo as it is >&2")
    await process.start()
    await ended(process)
    assert capfd.readouterr() == ("", "as it is\n")


async def test_a_grandchild_with_the_log_does_not_hold_the_end_up() -> None:
    process = shell("sleep 1000 & exit 4", one_log=True)
    await process.start()
    pid = process.pid
    try:
        assert await ended(process) == 4
    finally:
        os.killpg(pid, signal.SIGKILL)


@pytest.mark.root
async def test_another_user_and_none_of_our_groups(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent != Path("/tmp") and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    process = shell(f"id -u > {tmp_path}/out; id -G >> {tmp_path}/out", uid=1337)
    await process.start()
    assert await ended(process) == 0
    assert (tmp_path / "out").read_text().split() == ["1337", "1337"]
