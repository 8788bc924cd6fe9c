# SPDX-License-Identifier: Apache-2.0
"""Takes secrets out of what people are shown or send on: by the name of a value, and by the look of it. Pure.

Looks: PEM blocks, JSON web tokens, what follows ``Bearer`` or ``Basic``, passwords and tokens in URLs. Names: words for
secrets. A name that says where a secret is (``..._FILE``, ``..._PATH``) shows its value: that is a place. Headers that
a probe sends (Kubernetes' ``httpHeaders``) are credentials whatever they are called; in text, be it JSON, YAML or
broken, all that looks like one of their values goes.
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
_QUERY = re.compile(
    r"([?&][\w.-]*(?:passw|secret|token|credential|key|auth|sig)[\w.-]*=)[^&\s\"'#]+", re.IGNORECASE
)
_INLINE = ("inline_string", "inline_bytes")
"""Envoy's DataSource: keys and tokens stand there, and certificates, which nobody needs to see either."""
_HEADERS = "httpheaders"
_PROBE_HEADERS = re.compile(_HEADERS, re.IGNORECASE)
_HEADER_VALUE = re.compile(
    r"""(?i)(\\?["']?\bvalue\\?["']?\s*:\s*)"""
    r"""(\\"(?:[^"\\]|\\[^"])*\\?"?|"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|[|>][\s\S]*|[^\s"'|>][^\n]*)"""
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret."""
    plain = _CAMEL.sub("_", name)
    return bool(_NAME.search(plain)) and not _PLACE.search(plain)


def text(given: str) -> str:
    """The text without what looks like a secret."""
    for look in _LOOKS:
        given = look.sub(MASK, given)
    given = _QUERY.sub(rf"\1{MASK}", given)
    if headers := _PROBE_HEADERS.search(given):
        at = headers.end()
        given = given[:at] + _HEADER_VALUE.sub(rf'\1"{MASK}"', given[at:])
    return given


def words(given: str, *secrets: str) -> str:
    """What another said, without the secrets that we told it: careless servers repeat them."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        given = given.replace(secret, MASK)
    return text(given)


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
    if name.lower() == _HEADERS and isinstance(given, (list, tuple)):
        return [_header(each) for each in given]
    return value(name, given) if isinstance(given, str) else document(given)


def _header(given: Any) -> Any:
    """A probe's header: its name is no secret."""
    if not isinstance(given, Mapping):
        return MASK
    return {key: each if str(key).lower() == "name" else MASK for key, each in given.items()}
