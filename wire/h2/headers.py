# SPDX-License-Identifier: Apache-2.0
"""Which header lists are well formed (RFC 9113 section 8). Pure.

A malformed list is a stream error PROTOCOL_ERROR (8.1.1): the functions give the reason as text, or
an empty string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[str, str]]

_CONNECTION_SPECIFIC: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}
)
_REQUEST_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_RESPONSE_PSEUDO: Final = frozenset({":status"})
_UPPER: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FORBIDDEN_IN_VALUES: Final = frozenset("\r\n\0")


def request_fault(headers: Headers) -> str:
    """What is wrong with a request's first header list (8.3.1)."""
    if fault := _fault(headers, _REQUEST_PSEUDO):
        return fault
    pseudo = [name for name, _ in headers if name[:1] == ":"]
    missing = {":method", ":scheme", ":path"} - set(pseudo)
    if missing:
        return f"missing {', '.join(sorted(missing))}"
    return "empty :path" if (":path", "") in headers else ""


def response_fault(headers: Headers) -> str:
    """What is wrong with a response's header list (8.3.2)."""
    if fault := _fault(headers, _RESPONSE_PSEUDO):
        return fault
    return "" if any(name == ":status" for name, _ in headers) else "missing :status"


def trailers_fault(headers: Headers) -> str:
    """What is wrong with trailers: they hold no pseudo-header (8.1)."""
    return _fault(headers, frozenset())


def _fault(headers: Headers, allowed: frozenset[str]) -> str:
    seen: set[str] = set()
    regular = False
    for name, value in headers:
        if name[:1] == ":":
            if regular:
                return f"{name} after a regular field"
            if name not in allowed:
                return f"unexpected pseudo-header {name}"
            if name in seen:
                return f"{name} twice"
            seen.add(name)
        else:
            regular = True
            if fault := _field_fault(name, value):
                return fault
        if not _FORBIDDEN_IN_VALUES.isdisjoint(value):
            return f"a line break or NUL in the value of {name}"
    return ""


def _field_fault(name: str, value: str) -> str:
    if not name or not _UPPER.isdisjoint(name) or not name.isascii() or not _is_token(name):
        return f"bad field name {name[:40]!r}"
    if name in _CONNECTION_SPECIFIC:
        return f"connection-specific field {name}"
    if name == "te" and value.lower() != "trailers":
        return "te other than trailers"
    return ""


def _is_token(name: str) -> bool:
    return all(0x21 <= ord(char) < 0x7F and char != ":" for char in name)


def content_length(headers: Iterable[tuple[str, str]]) -> int | None:
    """The announced body length; -1 where it is not a number, None where there is none."""
    for name, value in headers:
        if name == "content-length":
            return int(value) if value.isascii() and value.isdigit() else -1
    return None
