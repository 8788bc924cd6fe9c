# SPDX-License-Identifier: Apache-2.0
"""Which header lists are well formed (RFC 9113 section 8). Pure.

A malformed list is a stream error PROTOCOL_ERROR (8.1.1): the functions give the reason as text, or
an empty string.
"""

from __future__ import annotations

from typing import Final

Headers = list[tuple[str, str]]

_CONNECTION_SPECIFIC: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}
)
_REQUEST_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_RESPONSE_PSEUDO: Final = frozenset({":status"})
_UPPER: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FORBIDDEN_IN_VALUES: Final = frozenset("\r\n\0")
_LENGTH_DIGITS: Final = 18
_WITHOUT_CONTENT: Final = frozenset({(":status", "204"), (":status", "304")})
_MAY_END_IN_SPACE: Final = "grpc-message"
"""gRPC's own escaping leaves spaces as they are; a status must not be lost for one."""


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
    status = next((value for name, value in headers if name == ":status"), None)
    if status is None:
        return "missing :status"
    if len(status) != 3 or not status.isascii() or not status.isdigit():
        return "a :status that is not three digits"
    return "status 101, which HTTP/2 does not have (8.6)" if status == "101" else ""


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
        if fault := _value_fault(name, value):
            return fault
    return ""


def field_fault(name: str, value: str) -> str:
    """What is wrong with one field that is ours to send, a regular one (8.2.1, 8.2.2)."""
    if name[:1] == ":":
        return f"bad field name {name[:40]!r}"
    return _field_fault(name, value) or _value_fault(name, value)


def _value_fault(name: str, value: str) -> str:
    if not _FORBIDDEN_IN_VALUES.isdisjoint(value):
        return f"a line break or NUL in the value of {name}"
    if value.strip(" \t") != value and name != _MAY_END_IN_SPACE:
        return f"white space around the value of {name}"
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


def content_length(headers: Headers) -> int | None:
    """The announced body length; -1 where it is not one number, None where there is none.

    Answers without content may announce what they would have had (8.1.1).
    """
    if not _WITHOUT_CONTENT.isdisjoint(headers):
        return None
    told = {value for name, value in headers if name == "content-length"}
    if not told:
        return None
    value = told.pop()
    good = not told and value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS
    return int(value) if good else -1
