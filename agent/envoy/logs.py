# SPDX-License-Identifier: Apache-2.0
"""Envoy's own log lines read, so that they can be written as the agent writes its own. Pure.

Three forms occur in one life: Envoy's default until the bootstrap is loaded, then what ``application_log_config`` says,
text or JSON; and lines of libraries that have no form at all. Source: bootstrap/sections/node.py, Envoy's --log-format.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from mesh.log import Level

_LEVELS = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warning": Level.WARN,
    "warn": Level.WARN,
    "error": Level.ERROR,
    "critical": Level.FATAL,
    "fatal": Level.FATAL,
}
_DEFAULT = re.compile(
    r"\[[^]]*\]\[(?P<thread>\d+)\]\[(?P<level>\w+)\]\[(?P<component>[\w.]+)\]"
    r" (?:\[(?P<place>[^]]*)\] )?(?P<message>.*)",
    re.DOTALL,
)
_AGENT = re.compile(
    r"\d{4}-\d\d-\d\dT\S+\t(?P<level>\w+)\tenvoy (?P<component>[\w.]+) (?P<place>\S+)"
    r"\t(?P<message>.*?)(?:\tthread=(?P<thread>\d+))?",
    re.DOTALL,
)
LIMIT = 16 * 1024
"""Bytes of one line; what is longer is cut."""


class Line(NamedTuple):
    """One line of Envoy's."""

    level: Level
    message: str
    component: str = ""
    place: str = ""


def parse(text: str) -> Line:
    """The parts of a line; one without a known form is all message."""
    if text.startswith("{"):
        found = _json(text)
        if found is not None:
            return found
    match = _DEFAULT.fullmatch(text) or _AGENT.fullmatch(text)
    if match is None:
        return Line(Level.INFO, text)
    level = _LEVELS.get(match["level"], Level.INFO)
    return Line(level, match["message"], match["component"], match["place"] or "")


def _json(text: str) -> Line | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict) or ("msg" not in data and "message" not in data):
        return None
    level = _LEVELS.get(str(data.get("level", "")), Level.INFO)
    message = str(data.get("msg", data.get("message")))
    scope = str(data.get("scope", "")).removeprefix("envoy").strip()
    return Line(level, message, scope, str(data.get("caller", "")))


class Lines:
    """Bytes in, whole lines out; never holds more than ``LIMIT``."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if whole and self._skipping:
            whole, self._skipping = whole[1:], False
        if len(self._rest) > LIMIT:
            if not self._skipping:
                whole.append(self._rest[:LIMIT])
            self._rest, self._skipping = b"", True
        return [line[:LIMIT].decode(errors="replace") for line in whole if line.strip()]

    def end(self) -> list[str]:
        """What stood last without a line's end."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest.strip() and not self._skipping else []
