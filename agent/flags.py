# SPDX-License-Identifier: Apache-2.0
"""Command-line flags as the peer's library reads them. Pure.

``--name value``, ``--name=value``; a boolean takes its value only after ``=``; flags and arguments may be mixed; ``--``
ends the flags. Where unknown flags are tolerated they take the next word along unless it looks like a flag.
Source: spec/agent.md 1.1; peer: spf13/pflag with UnknownFlags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from mesh.errors import BadSetting


class Kind(Enum):
    """What a flag's value is."""

    TEXT = auto()
    LIST = auto()
    """May be given several times."""
    NUMBER = auto()
    SWITCH = auto()


@dataclass(slots=True)
class Parsed:
    """What the command line says; absent flags are absent."""

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        return self.texts.get(name, default)

    def number(self, name: str, default: int) -> int:
        return int(self.texts[name], 0) if name in self.texts else default

    def switch(self, name: str, *, default: bool) -> bool:
        return _SWITCH[self.texts[name]] if name in self.texts else default


_SWITCH = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)


def parse(words: Sequence[str], known: Mapping[str, Kind], *, tolerant: bool = False) -> Parsed:
    """Flags and arguments of ``words``. Raises BadSetting for an unknown flag, a bad or a missing value."""
    parsed = Parsed()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.arguments += rest
            break
        if not word.startswith("-") or word == "-":
            parsed.arguments.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name not in known:
            _unknown(parsed, word, rest, tolerant=tolerant, valued=bool(equals))
        elif known[name] is Kind.SWITCH:
            _keep(parsed, name, Kind.SWITCH, value if equals else "true")
        elif equals:
            _keep(parsed, name, known[name], value)
        elif rest:
            _keep(parsed, name, known[name], rest.pop(0))
        else:
            raise BadSetting(f"--{name}", "", "flag needs an argument")
    return parsed


def _unknown(parsed: Parsed, word: str, rest: list[str], *, tolerant: bool, valued: bool) -> None:
    if not tolerant:
        raise BadSetting(word, "", "unknown flag")
    parsed.unknown.append(word)
    if not valued and rest and not rest[0].startswith("-"):
        rest.pop(0)


def _keep(parsed: Parsed, name: str, kind: Kind, value: str) -> None:
    match kind:
        case Kind.LIST:
            parsed.lists.setdefault(name, []).append(value)
            return
        case Kind.SWITCH if value not in _SWITCH:
            raise BadSetting(f"--{name}", value, "not a boolean such as true or false")
        case Kind.NUMBER:
            _check_number(name, value)
    parsed.texts[name] = value


def _check_number(name: str, value: str) -> None:
    try:
        int(value, 0)
    except ValueError:
        raise BadSetting(f"--{name}", value, "not a whole number") from None
