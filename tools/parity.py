# SPDX-License-Identifier: Apache-2.0
"""Writes docs/parity.md from tools/parity.toml: what the peers have, where it is here, which test shows it.

Run by ``make parity``; tests/tools/test_parity.py fails when the page is not what this makes, when a place or a test
does not name what it is said to hold, and when a flag or variable of ours is missing from the table.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parent.parent
TABLE = REPO / "tools" / "parity.toml"
PAGE = REPO / "docs" / "parity.md"

HEAD = """\
# Parity

What Istio's pilot-agent and, for the control plane, istiod have; where it is here; the test that shows it. Made by
`make parity` from `tools/parity.toml`; do not edit. *Default*: whose behaviour is in force when nothing is said
([ADR 0006](adr/0006-whose-default.md)); `PILOT_COMPAT=strict` makes it the peer's everywhere. The peers' own test
cases run as well: `make conformance`.
"""


class Thing(NamedTuple):
    """One flag, variable, endpoint, file, metric."""

    kind: str
    name: str
    place: str = ""
    """Module of ours, or a room in which the first module that names it is found; empty: absent."""
    test: str = ""
    default: str = "peer"
    note: str = ""
    seen: str = ""
    """What place and test are searched for instead of the name."""

    @property
    def wanted(self) -> str:
        return self.seen or self.name


def things() -> Iterator[Thing]:
    """All rows, in the order of the table."""
    for entry in tomllib.loads(TABLE.read_text())["things"]:
        shared = {key: value for key, value in entry.items() if key != "names"}
        for name in entry["names"].split():
            yield Thing(name=name, **shared)


def faults(thing: Thing) -> list[str]:
    """What the row says that is not so."""
    if not thing.place:
        return [] if thing.note else [f"{thing.name}: absent, and no note says why"]
    wrong = [path for path in (thing.place, thing.test) if not module_of(path, thing.wanted)]
    return [f"{thing.name}: {path!r} does not name {thing.wanted!r}" for path in wrong]


def module_of(path: str, wanted: str) -> str:
    """The module at or below ``path`` that names what is wanted, quoted rather than in passing; or nothing."""
    where = REPO / path
    files = sorted(where.rglob("*.py")) if path and where.is_dir() else [where] if path else []
    texts = {file: file.read_text() for file in files if file.is_file()}
    quoted = (file for file, text in texts.items() if f'"{wanted}"' in text)
    named = (file for file, text in texts.items() if wanted in text)
    found = next(quoted, None) or next(named, None)
    return str(found.relative_to(REPO)) if found else ""


def page() -> str:
    """The whole page."""
    kinds: dict[str, list[Thing]] = {}
    for thing in things():
        kinds.setdefault(thing.kind, []).append(thing)
    return HEAD + "".join(_section(kind, rows) for kind, rows in kinds.items())


def _section(kind: str, rows: list[Thing]) -> str:
    lines = ["| name | where | default | shown by | note |", "|---|---|---|---|---|"]
    lines += [_line(row) for row in sorted(rows, key=lambda row: row.name.lower())]
    return f"\n## {kind[0].upper()}{kind[1:]}\n\n" + "\n".join(lines) + "\n"


def _line(row: Thing) -> str:
    place = _link(module_of(row.place, row.wanted)) if row.place else "absent"
    default = row.default if row.place else ""
    test = _link(row.test) if row.test else ""
    return f"| `{row.name}` | {place} | {default} | {test} | {row.note} |"


def _link(path: str) -> str:
    return f"[{path}](../{path})"


def main() -> int:
    """Write the page; 1 with the faults where the table is not true."""
    wrong = [fault for thing in things() for fault in faults(thing)]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
