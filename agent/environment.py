# SPDX-License-Identifier: Apache-2.0
"""Reads variables as the peer does: what cannot be read is tolerated with the default, and remembered. Pure.

The caller hands in the environment. Nothing is logged here: ``tolerated`` is for whoever has a log, and
under PILOT_STRICT_SETTINGS each of them is a fault. Source: spec/agent.md conventions, DESIGN 4.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from mesh import durations
from mesh.errors import BadSetting

T = TypeVar("T")

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[+-]?\d+")


class Environment:
    """One process's variables, read once."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.tolerated: list[BadSetting] = []
        self.asked: dict[str, object] = {}
        """Every variable that was asked for, with the default that holds where it is absent."""

    def text(self, name: str, default: str = "") -> str:
        """Verbatim. A variable that is set but empty is empty, as Go's LookupEnv has it."""
        self.asked.setdefault(name, default)
        return self.variables.get(name, default)

    def flag(self, name: str, *, default: bool) -> bool:
        """As Go's ParseBool."""
        return self._read(name, default, _boolean, "not a boolean such as true, false, 1 or 0")

    def maybe(self, name: str) -> bool | None:
        """Three states: None where the variable is absent or empty."""
        return self.flag(name, default=False) if self.variables.get(name) else None

    def integer(self, name: str, default: int) -> int:
        return self._read(name, default, _integer, "not a whole number")

    def port(self, name: str, default: int) -> int:
        """0 to 65535."""
        return self._read(name, default, _port, "not a port number")

    def number(self, name: str, default: float) -> float:
        return self._read(name, default, float, "not a number")

    def duration(self, name: str, default: float) -> float:
        """Seconds, from Go's syntax."""
        return self._read(
            name, default, durations.parse, "not a duration such as 300ms, 5s or 1h30m"
        )

    def span(self, name: str, default: float) -> float:
        """As ``duration``, but never below zero."""
        return self._read(name, default, _span, "not a duration such as 300ms, 5s or 1h30m")

    def count(self, name: str, default: int) -> int:
        """A whole number, never below zero."""
        return self._read(name, default, _count, "not a whole number of zero or more")

    def choice(self, name: str, default: str, words: Sequence[str]) -> str:
        """One of ``words``."""
        return self._read(name, default, _one_of(words), f"not one of {', '.join(words)}")

    @property
    def strict(self) -> bool:
        """PILOT_COMPAT=strict: every default is the peer's."""
        return self.text("PILOT_COMPAT") == "strict"

    def _read(self, name: str, default: T, parse: Callable[[str], T], why: str) -> T:
        self.asked.setdefault(name, default)
        text = self.variables.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError:
            hint = f"the default is used: {default}"
            self.tolerated.append(BadSetting(name, text, why, hint=hint))
            return default


def _boolean(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _count(text: str) -> int:
    value = _integer(text)
    if value < 0:
        raise ValueError(text)
    return value


def _span(text: str) -> float:
    value = durations.parse(text)
    if value < 0:
        raise ValueError(text)
    return value


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse


def _port(text: str) -> int:
    value = _integer(text)
    if not 0 <= value <= 65535:
        raise ValueError(text)
    return value
