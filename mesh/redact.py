# SPDX-License-Identifier: Apache-2.0
"""Takes secrets out of what people are shown or send on: by the name of a value, and by the look of it. Pure.

Looks: PEM blocks, JSON web tokens, what follows ``Bearer`` or ``Basic``, passwords in URLs. Names: words for secrets.
A name that says where a secret is (``..._FILE``, ``..._PATH``) shows its value: that is a place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "(masked)"
_NAME = re.compile(
    r"passw|secret|token|credential|private_?key|api_?key|authorization|cookie|signature"
    r"|^(xds|ca)_header_|connection_?string|(^|_)(key|pass|pwd|auth)$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"(_|-)(file|files|path|dir|socket|type|name|size|ttl|ratio|jitter|algorithm|duration|interval|expires?|renews?)$",
    re.IGNORECASE,
)
_LOOKS = (
    re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"(?i)(?<=\bbearer )[^\s\"',]+"),
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/=_-]{6,}"),
    re.compile(r"(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)"),
)
_INLINE = ("inline_string", "inline_bytes")
"""Envoy's DataSource: keys and tokens stand there, and certificates, which nobody needs to see either."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret."""
    plain = _CAMEL.sub("_", name)
    return bool(_NAME.search(plain)) and not _PLACE.search(plain)


def text(given: str) -> str:
    """The text without what looks like a secret."""
    for look in _LOOKS:
        given = look.sub(MASK, given)
    return given


def value(name: str, given: str) -> str:
    """A named value, fit to be shown."""
    return MASK if given and is_secret_name(name) else text(given)


def document(given: Any) -> Any:
    """JSON data without secrets, by names and looks."""
    if isinstance(given, Mapping):
        return {key: _member(str(key), each) for key, each in given.items()}
    if isinstance(given, (list, tuple)):
        return [document(each) for each in given]
    return text(given) if isinstance(given, str) else given


def _member(name: str, given: Any) -> Any:
    if name in _INLINE and given:
        return MASK
    return value(name, given) if isinstance(given, str) else document(given)
