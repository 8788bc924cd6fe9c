# SPDX-License-Identifier: Apache-2.0
"""What a certificate says of itself: validity, serial, names. A small DER walk. Pure; verifies nothing.

Whether a text is a certificate that OpenSSL accepts is ``sdsserver.pem``'s question, not this one's.
Source: RFC 5280 4.1, X.690.
"""

from __future__ import annotations

import binascii
import calendar
from typing import NamedTuple

from sdsserver.trust import certificate_blocks

_INTEGER, _OCTETS, _OID = 0x02, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_SEQUENCE, _VERSION, _EXTENSIONS, _URI = 0x30, 0xA0, 0xA3, 0x86
_SUBJECT_ALT_NAME = bytes([0x55, 0x1D, 0x11])


class Facts(NamedTuple):
    """What rotation, the identity store and the status page need to know of a certificate."""

    serial: int
    not_before: float
    not_after: float
    uris: tuple[str, ...]

    def valid_at(self, now: float) -> bool:
        return self.not_before <= now < self.not_after


class _Field(NamedTuple):
    """One DER element: its tag, its content, and what follows it."""

    tag: int
    body: bytes
    rest: bytes


def facts(pem: bytes) -> Facts:
    """Of the first certificate in ``pem``. Raises ValueError when there is none that can be read."""
    block = next(certificate_blocks(pem), None)
    if block is None:
        raise ValueError("invalid PEM encoded certificate")
    return facts_of_der(der(block))


def der(block: bytes) -> bytes:
    """The bytes within one PEM block. Raises ValueError for bad base64."""
    try:
        return binascii.a2b_base64(b"".join(block.strip().splitlines()[1:-1]), strict_mode=True)
    except binascii.Error:
        raise ValueError("invalid base64 in PEM") from None


def seconds_left(pem: bytes, now: float) -> float:
    """Until the first certificate expires; negative when it has. Raises ValueError as the peer words it."""
    try:
        return facts(pem).not_after - now
    except ValueError as error:
        raise ValueError(
            f"failed to extract cert expiration timestamp: failed to parse the cert: {error}"
        ) from None


def facts_of_der(certificate: bytes) -> Facts:
    """Raises ValueError when the bytes are not a certificate."""
    tbs = _take(_take(certificate, _SEQUENCE).body, _SEQUENCE).body
    if tbs[:1] == bytes([_VERSION]):
        tbs = _take(tbs).rest
    serial = _take(tbs, _INTEGER)
    signature = _take(serial.rest, _SEQUENCE)
    issuer = _take(signature.rest, _SEQUENCE)
    validity = _take(issuer.rest, _SEQUENCE)
    begin = _take(validity.body)
    subject = _take(validity.rest, _SEQUENCE)
    public_key = _take(subject.rest, _SEQUENCE)
    return Facts(
        int.from_bytes(serial.body, "big", signed=True),
        _time(begin),
        _time(_take(begin.rest)),
        _uris(public_key.rest),
    )


def _take(data: bytes, tag: int | None = None) -> _Field:
    """The first element of ``data``."""
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise ValueError("malformed certificate")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        if not 2 < start <= min(6, len(data)):
            raise ValueError("malformed certificate")
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("malformed certificate")
    return _Field(data[0], data[start : start + length], data[start + length :])


def _time(field: _Field) -> float:
    """Seconds since the epoch of a UTCTime (years 1950 to 2049) or GeneralizedTime."""
    text = field.body.decode("ascii", "replace")
    if field.tag == _UTC_TIME and len(text) == 13:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif field.tag != _GENERALIZED_TIME:
        raise ValueError("malformed certificate time")
    if len(text) != 15 or text[14] != "Z" or not text[:14].isdigit():
        raise ValueError("malformed certificate time")
    parts = (int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2)))
    return float(calendar.timegm((*parts, 0, 0, 0)))


def _uris(tail: bytes) -> tuple[str, ...]:
    """The URI names in the subjectAltName extension, if any. ``tail`` follows the public key."""
    while tail:
        field = _take(tail)
        tail = field.rest
        if field.tag == _EXTENSIONS:
            return _uris_in(_take(field.body, _SEQUENCE).body)
    return ()


def _uris_in(extensions: bytes) -> tuple[str, ...]:
    while extensions:
        extension = _take(extensions, _SEQUENCE)
        extensions = extension.rest
        oid = _take(extension.body, _OID)
        if oid.body != _SUBJECT_ALT_NAME:
            continue
        value = _take(oid.rest)
        if value.tag != _OCTETS:  # the critical flag comes first
            value = _take(value.rest, _OCTETS)
        return tuple(_names(_take(value.body, _SEQUENCE).body))
    return ()


def _names(names: bytes) -> list[str]:
    found = []
    while names:
        name = _take(names)
        names = name.rest
        if name.tag == _URI:
            found.append(name.body.decode("ascii", "replace"))
    return found
