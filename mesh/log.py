# SPDX-License-Identifier: Apache-2.0
r"""Log lines in the peer's two forms. Standard library only, so that every process can afford it (ADR 0005).

Text: ``<time>\t<level>\t<scope unless default>\t<message>[\tkey=value ...]``, time in UTC with six
fractional digits. JSON: ``time level scope msg`` and the facts as top-level keys.
Source: spec/agent.md 1.1. Event names are constant lower-case phrases; facts are fields; secrets never.

    log = get("xdsproxy")
    log.info("connected to upstream", address=address)
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Self, TextIO

from mesh.errors import BadSetting

DEFAULT_SCOPE = "default"


class Level(IntEnum):
    """The peer's levels; a line is written when its level is at or below the scope's."""

    NONE = 0
    FATAL = 1
    ERROR = 2
    WARN = 3
    INFO = 4
    DEBUG = 5

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for an unknown name."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise ValueError(
                f"{text!r} is not one of debug, info, warn, error, fatal, none"
            ) from None


def parse_levels(text: str) -> dict[str, Level]:
    """Scope to level from ``scope:level,...``; a bare level is the default scope's.

    Raises BadSetting naming the malformed element.
    """
    levels: dict[str, Level] = {}
    for element in filter(None, text.split(",")):
        scope, _, level = element.rpartition(":")
        try:
            levels[scope or DEFAULT_SCOPE] = Level.parse(level)
        except ValueError as error:
            raise BadSetting("--log_output_level", text, str(error)) from None
    return levels


class Settings:
    """How lines are written. One per process; changed by ``configure`` and ``set_levels`` only.

    No dataclass: importing ``dataclasses`` would cost every short command a fifth of its start.
    """

    __slots__ = ("as_json", "levels", "stream")

    def __init__(self) -> None:
        self.as_json = False
        self.levels: dict[str, Level] = {}
        self.stream: TextIO | None = None
        """None: standard output, looked up at each line so that tests may capture it."""

    def level_of(self, scope: str) -> Level:
        if "all" in self.levels:
            return self.levels["all"]
        return self.levels.get(scope, self.levels.get(DEFAULT_SCOPE, Level.INFO))


_settings = Settings()


def configure(
    *, as_json: bool = False, levels: dict[str, Level] | None = None, stream: TextIO | None = None
) -> None:
    """Set form, levels and stream for the whole process."""
    _settings.as_json = as_json
    _settings.levels = dict(levels or {})
    _settings.stream = stream


def set_levels(levels: dict[str, Level]) -> None:
    """Change some scopes' levels while running."""
    _settings.levels.update(levels)


def levels() -> dict[str, Level]:
    """The levels that were asked for, by scope."""
    return dict(_settings.levels)


class Logger:
    """Writes lines of one scope, with facts bound beforehand."""

    __slots__ = ("_facts", "scope")

    def __init__(self, scope: str, facts: dict[str, Any]) -> None:
        self.scope = scope
        self._facts = facts

    def bind(self, **facts: Any) -> Logger:
        """The same scope with more facts on every line."""
        return Logger(self.scope, {**self._facts, **facts})

    def enabled(self, level: Level) -> bool:
        """Whether a line of this level would be written: ask before costly facts are gathered."""
        return level <= _settings.level_of(self.scope)

    def debug(self, event: str, /, **facts: Any) -> None:
        self._write(Level.DEBUG, event, facts)

    def info(self, event: str, /, **facts: Any) -> None:
        self._write(Level.INFO, event, facts)

    def warning(self, event: str, /, **facts: Any) -> None:
        """An operator may want to act."""
        self._write(Level.WARN, event, facts)

    def error(self, event: str, /, **facts: Any) -> None:
        """We gave up on something."""
        self._write(Level.ERROR, event, facts)

    def fatal(self, event: str, /, **facts: Any) -> None:
        """The process is about to end because of this."""
        self._write(Level.FATAL, event, facts)

    def write(self, level: Level, text: str, /, **facts: Any) -> None:
        """A line that another program wrote, at its own level; our own events have a method each.

        Which of these lines exist is the other program's own setting, so no level of ours keeps one back.
        """
        self._put(level, text, {**self._facts, **facts})

    def _write(self, level: Level, event: str, facts: dict[str, Any]) -> None:
        if level > _settings.level_of(self.scope):
            return
        self._put(level, event, {**self._facts, **facts})

    def _put(self, level: Level, event: str, facts: dict[str, Any]) -> None:
        line = (_json_line if _settings.as_json else _text_line)(
            datetime.now(UTC), level, self.scope, event, facts
        )
        stream = _settings.stream or sys.stdout
        stream.write(line + "\n")
        stream.flush()


def get(scope: str = DEFAULT_SCOPE, **facts: Any) -> Logger:
    """A logger for one of the peer's scopes (default, xdsproxy, dns, sds, ca, healthcheck, ...)."""
    return Logger(scope, facts)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text_line(
    moment: datetime, level: Level, scope: str, event: str, facts: dict[str, Any]
) -> str:
    head = [_time(moment), level.name.lower()]
    if scope != DEFAULT_SCOPE:
        head.append(scope)
    tail = [f"{key}={_one_line(value)}" for key, value in facts.items()]
    return "\t".join([*head, _one_line(event), *([" ".join(tail)] if tail else [])])


def _one_line(value: object) -> str:
    return str(value).replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _json_line(
    moment: datetime, level: Level, scope: str, event: str, facts: dict[str, Any]
) -> str:
    record = {"time": _time(moment), "level": level.name.lower(), "scope": scope, "msg": event}
    return json.dumps({**facts, **record}, default=str)
