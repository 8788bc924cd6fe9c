# SPDX-License-Identifier: Apache-2.0
"""Runs the tools: the only module of the room that starts processes. No rule of capture is decided here.

``Machine`` runs them; ``Paper`` (dry run) writes down what would be run, in the peer's form: one line per command, and
for a restore its input's lines. Source: spec/agent.md 10.5, 10.6.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from iptables.binaries import (
    Binary,
    binary_order,
    explain_failure,
    has_rules,
    hint,
    identify,
    nft_complaint,
)
from iptables.rules import Family
from mesh import log as logs
from mesh.errors import CaptureFailed

log = logs.get("iptables")

TIMEOUT = 60.0
"""For one command: the lock may be held for half of it."""
NO_OP = ("INPUT", "-p", "255", "-j", "RETURN")
"""A rule that meets no packet: whoever can add and delete it can set rules."""
NO_OP_SAVED = "-A INPUT -p 255 -j RETURN"
BASE = {Family.V4: "iptables", Family.V6: "ip6tables"}


class Result(NamedTuple):
    """What a command left: 127 stands for a program that is not there."""

    code: int = 0
    output: str = ""
    errors: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0


MISSING = 127


class Runner(Protocol):
    """Runs one program to its end."""

    dry: bool

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result: ...


class Machine:
    """The real thing."""

    dry = False

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._environment = environment

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result:
        import subprocess  # costs 4 ms, and a dry run needs none of it

        try:
            with _whole(stdin or "") as handle:
                done = subprocess.run(
                    [program, *args],
                    stdin=handle,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    check=False,
                    timeout=TIMEOUT,
                    env=self._environment,
                )
        except FileNotFoundError:
            return Result(MISSING, errors=f"{program}: not found")
        except PermissionError as error:
            return Result(MISSING, errors=f"{program}: {error.strerror}")
        except subprocess.TimeoutExpired:
            return Result(MISSING, errors=f"{program}: no answer within {TIMEOUT:.0f} s")
        return Result(done.returncode, done.stdout, done.stderr)


def _whole(text: str) -> BinaryIO:
    """Input that is complete before the tool starts: from a pipe it would take a part for all if we are killed."""
    handle = open(os.memfd_create("rules"), "w+b")  # noqa: SIM115  the caller closes it
    handle.write(text.encode())
    handle.seek(0)
    return handle


class Paper:
    """A dry run: everything succeeds and is written down; nothing is changed."""

    dry = True

    def __init__(self, file: str = "", show: Callable[[str], None] = print) -> None:
        self.lines: list[str] = []
        self._file = file
        self._show = show

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result:
        new = [" ".join((program, *args))] if stdin is None else stdin.splitlines()
        self.lines += new
        if self._file:
            Path(self._file).write_text("".join(f"{line}\n" for line in self.lines))
        for line in new:
            self._show(line)
        return Result()


def detect(runner: Runner, family: Family, force: str) -> Binary:
    """The iptables to use. CaptureFailed names what was tried and why it does not serve."""
    base = BASE[family]
    if runner.dry:
        return Binary(base)
    problems: list[str] = []
    for name in binary_order(base, force):
        only_with_rules = name.endswith("-legacy") and not force
        if only_with_rules and not _legacy_tables(family):
            continue
        found = _usable(runner, name, problems)
        if found is not None and not (only_with_rules and not found[1]):
            return found[0]
    why = f"no usable {base}: {'; '.join(problems) or 'none is installed'}"
    advice = f"install iptables ({base} was looked for on PATH), or use --native-nftables"
    raise CaptureFailed(why, hint=hint(why) or advice)


def _legacy_tables(family: Family) -> bool:
    """Whether the kernel holds any table of the legacy kind here; asking the tool would load the modules."""
    names = (
        "/proc/self/net/ip_tables_names"
        if family is Family.V4
        else "/proc/self/net/ip6_tables_names"
    )
    try:
        return bool(Path(names).read_text().strip())
    except OSError:
        return False


def _usable(runner: Runner, name: str, problems: list[str]) -> tuple[Binary, bool] | None:
    """The binary and whether it has rules, once it has shown that it can set one."""
    saved = runner.run(f"{name}-save")
    if not saved.ok:
        problems.append(f"{name}-save: {_complaint(saved)}")
        return None
    shown = runner.run(name, "--version")
    try:
        binary = identify(name, shown.output, shown.errors)
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return None
    stale = NO_OP_SAVED in saved.output  # a detection was killed between adding and deleting
    for change in ("-D", "-A", "-D") if stale else ("-A", "-D"):
        done = runner.run(name, *binary.lock, "-t", "nat", change, *NO_OP)
        if not done.ok or "does not exist" in done.errors:
            problems.append(f"{name}: {_complaint(done)}")
            return None
    return binary, has_rules(saved.output)


def _complaint(result: Result) -> str:
    return (
        result.errors.strip()
        if result.code == MISSING
        else explain_failure(result.code, result.errors)
    )


class Tool:
    """One family's iptables: saves, restores, single commands."""

    def __init__(self, runner: Runner, family: Family, binary: Binary) -> None:
        self._runner = runner
        self.family = family
        self.binary = binary

    def save(self) -> str:
        """The ruleset as text; empty where the tool fails, as the peer takes it."""
        result = self._runner.run(self.binary.save)
        if not result.ok:
            log.warning("ruleset cannot be read", binary=self.binary.save, error=_complaint(result))
            return ""
        return result.output

    def restore(self, text: str) -> None:
        """Add all of it, one transaction per table."""
        result = self._runner.run(self.binary.restore, "--noflush", *self.binary.lock, stdin=text)
        if not result.ok:
            raise CaptureFailed(
                f"{self.binary.restore}: {_complaint(result)}", hint=hint(result.errors)
            )

    def command(self, words: Sequence[str]) -> None:
        result = self._runner.run(self.binary.name, *self.binary.lock, *words)
        if not result.ok:
            what = f"{self.binary.name} {' '.join(words)}"
            raise CaptureFailed(f"{what}: {_complaint(result)}", hint=hint(result.errors))

    def try_command(self, words: Sequence[str]) -> bool:
        """Whether it succeeded; failing is a normal answer."""
        return self._runner.run(self.binary.name, *self.binary.lock, *words).ok


class Nft:
    """The nft program: listings and transactions."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def chains(self) -> str:
        """All tables with their chains; empty where nft cannot say."""
        result = self._runner.run("nft", "list", "chains")
        if result.code == MISSING:
            raise CaptureFailed(
                result.errors, hint="install nftables, or leave out --native-nftables"
            )
        if not result.ok:
            log.warning("ruleset cannot be read", binary="nft", error=nft_complaint(result.errors))
        return result.output

    def table(self, name: str) -> str:
        """One table as text that nft reads again."""
        return self._runner.run("nft", "list", "table", "inet", name).output

    def apply(self, text: str) -> None:
        """All of it or nothing. CaptureFailed with nft's complaint."""
        result = self._runner.run("nft", "-f", "-", stdin=text)
        if not result.ok:
            raise CaptureFailed(f"nft: {nft_complaint(result.errors)}", hint=hint(result.errors))
