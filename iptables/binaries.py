# SPDX-License-Identifier: Apache-2.0
"""Which iptables a machine has and how it wants to be called. Pure: what programs print comes in as text.

Machines carry two of them, with rules that the other does not show; the one whose rules are in force is the one to use.
Source: spec/agent.md 10.6.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, ...]
LOCKS_SINCE: Version = (1, 6, 2)
"""``--wait`` with seconds for the lock of the legacy variant."""
LOCK_FILE_SINCE: Version = (1, 8, 6)
"""XTABLES_LOCKFILE names the lock."""
LOCK_WAIT = "--wait=30"
HAS_RULES_LINES = 3

_VERSION = re.compile(r"v([0-9]+(\.[0-9]+)+)")


class Binary(NamedTuple):
    """A usable iptables of one family: ``iptables-nft`` has ``iptables-nft-save`` and ``-restore`` beside it."""

    name: str
    version: Version = (0, 0, 0)
    nft: bool = False

    @property
    def save(self) -> str:
        return f"{self.name}-save"

    @property
    def restore(self) -> str:
        return f"{self.name}-restore"

    @property
    def lock(self) -> tuple[str, ...]:
        """Options for commands that write."""
        return (LOCK_WAIT,) if not self.nft and self.version >= LOCKS_SINCE else ()


def binary_order(base: str, force: str) -> tuple[str, ...]:
    """Names to try, first choice first. The legacy one counts only where it has rules already."""
    return (f"{base}-{force}",) if force else (f"{base}-legacy", f"{base}-nft", base)


def parse_version(text: str) -> Version:
    """From ``--version``. ValueError when there is none."""
    match = _VERSION.search(text)
    if match is None:
        raise ValueError(f"no version in {text.strip()!r}")
    return tuple(int(part) for part in match[1].split("."))


def identify(name: str, output: str, errors: str) -> Binary:
    """The binary that printed this for ``--version``."""
    if "unrecognized option" in errors:  # very old legacy ones know no --version
        return Binary(name)
    return Binary(name, parse_version(output), nft="nf_tables" in output)


def has_rules(saved: str) -> bool:
    """Whether a dump holds more than empty tables, by the peer's measure."""
    return saved.count("\n") >= HAS_RULES_LINES


_PROBLEMS = {1: "other", 2: "parameter", 3: "version", 4: "resource"}


def explain_failure(code: int, errors: str) -> str:
    """The tool's complaint in the peer's form: kind of problem, then what follows the first colon."""
    text = errors.strip()
    _, colon, rest = text.partition(":")
    detail = rest.strip() if colon else text
    if code in _PROBLEMS:
        return f"xtables {_PROBLEMS[code]} problem: {detail}"
    return detail or f"exit code {code}"


def nft_complaint(errors: str) -> str:
    """Nft's complaints in one line: each error, without the input's line that nft repeats below it."""
    lines = [line.strip() for line in errors.splitlines()]
    said = [line.partition("Error: ")[2] for line in lines if "Error: " in line]
    return "; ".join(dict.fromkeys(said)) or " ".join(lines) or "it failed without a word"


_HINTS = (
    (
        ("permission denied", "operation not permitted", "you must be root"),
        "the NET_ADMIN capability is missing: grant it to this container (or use the CNI plugin), and run as root",
    ),
    (
        (
            "can't initialize",
            "table does not exist",
            "no such file or directory",
            "protocol not supported",
            "no chain/target/match",
            "operation not supported",
        ),
        "a kernel module is missing on the node: nf_tables with nft_redir, nft_tproxy, ... or ip_tables, xt_owner, ...",
    ),
    (
        ("user does not exist", "group does not exist", "bad value for"),
        "a user or group is not known here: name it by its id",
    ),
    (
        ("invalid argument",),
        "an option or id is not known here: in a user namespace the proxy's uid and gid must be mapped",
    ),
    (
        ("chain already exists", "file exists"),
        "rules of an earlier run are in the way: run again with --reconcile, or clean with --cleanup-only first",
    ),
    (
        ("another app is currently holding the xtables lock", "resource temporarily unavailable"),
        "another program holds the xtables lock: wait for it or end it",
    ),
)


def hint(errors: str) -> str:
    """What an operator should try after this complaint."""
    lower = errors.lower()
    return next((advice for signs, advice in _HINTS if any(sign in lower for sign in signs)), "")
