# SPDX-License-Identifier: Apache-2.0
"""The two text formats of metrics, as far as merging must know them. Pure.

Text 0.0.4 and OpenMetrics 1.0.0 differ where it matters here in this: OpenMetrics names a counter's family without
``_total``, counts time in seconds, writes bounds as floats, knows exemplars, allows no blank lines and ends with
``# EOF``. Nothing is parsed before somebody needs it: an ``Index`` only finds which bytes belong to which family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

EOF = b"# EOF"
SUFFIXES = {
    b"counter": (b"_total", b"_created"),
    b"histogram": (b"_bucket", b"_count", b"_sum", b"_created"),
    b"gaugehistogram": (b"_bucket", b"_gcount", b"_gsum"),
    b"summary": (b"_count", b"_sum", b"_created"),
    b"info": (b"_info",),
}
"""What a sample's name may add to that of its family, by the family's type."""
_META = re.compile(rb"# (TYPE|HELP|UNIT)[ \t]+([^\s{]+)[ \t]*(.*)")
_SAMPLE = re.compile(
    rb"([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*"
    rb'(?:\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\})?'
    rb"[ \t]*(?<=[ \t}])([+-]?(?:[0-9.][0-9a-fA-FxX._+-]*|[Ii]nf(?:inity)?|[Nn][Aa][Nn]))"
    rb"(?:[ \t]+([+-]?[0-9.][0-9.eE+-]*))?(?:[ \t]+(#[ \t]*\{.*))?"
)
_BOUND = re.compile(rb'(?<![a-zA-Z0-9_])(le|quantile)="([^"]*)"')
_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
_BOUNDS = (b"le", b"quantile")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Meta(NamedTuple):
    """``# TYPE name text`` and its like."""

    word: bytes
    name: bytes
    text: bytes


class Sample(NamedTuple):
    """One line with a value."""

    name: bytes
    labels: bytes
    value: bytes
    timestamp: bytes
    exemplar: bytes


def meta(line: bytes) -> Meta | None:
    """The line as metadata; None where it is none."""
    found = _META.fullmatch(line)
    return Meta(found[1], found[2], found[3].rstrip()) if found else None


def sample(line: bytes) -> Sample:
    """The line as a sample. Raises ValueError."""
    found = _SAMPLE.fullmatch(line.strip())
    if found is None:
        raise ValueError(f"not a sample: {line[:80]!r}")
    labels = (found[2] or b"").strip().rstrip(b",").rstrip()
    return Sample(found[1], labels, found[3], found[4] or b"", found[5] or b"")


def sample_name(line: bytes) -> bytes:
    """The name with which a sample's line begins."""
    return re.split(rb"[ \t{]", line, maxsplit=1)[0]


def belongs(name: bytes, family: bytes, kind: bytes) -> bool:
    """Whether a sample of this name is one of that family."""
    if name == family:
        return True
    return name.startswith(family) and name[len(family) :] in SUFFIXES.get(kind, ())


def claims(family: bytes, kind: bytes) -> tuple[bytes, ...]:
    """Every name that samples of the family may have."""
    return (family, *(family + suffix for suffix in SUFFIXES.get(kind, ())))


def is_text(data: bytes) -> bool:
    """Whether the bytes can be any text at all."""
    if _NOT_TEXT.search(data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def without_eof(data: bytes) -> bytes:
    """The text without its end mark, tolerant as the peer is, and with a line's end."""
    body = data.rstrip(b" \t\r\n")
    if body.endswith(EOF) and (len(body) == len(EOF) or body[-len(EOF) - 1 : -len(EOF)] == b"\n"):
        data = body[: -len(EOF)]
    return data if not data or data.endswith(b"\n") else data + b"\n"


@dataclass(slots=True)
class Entry:
    """One family within a text: its type, and where its lines are."""

    kind: bytes = b""
    spans: list[tuple[int, int]] = field(default_factory=list)


class Index:
    """Which bytes of a whole text belong to which family. Raises ValueError for a text that cannot be told apart."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.families: dict[bytes, Entry] = {}
        self._current = b""
        at = 0
        for line in data.splitlines(keepends=True):
            self._take(line.rstrip(b"\r\n"), at, at + len(line))
            at += len(line)

    def lines(self, name: bytes) -> list[bytes]:
        """The lines of a family."""
        spans = self.families[name].spans
        return [line for begin, end in spans for line in self.data[begin:end].splitlines()]

    def text(self, name: bytes) -> bytes:
        """The bytes of a family as they came."""
        return b"".join(self.data[begin:end] for begin, end in self.families[name].spans)

    def _take(self, line: bytes, begin: int, end: int) -> None:
        if not line.strip() or line == EOF:
            return
        if line.startswith(b"#"):
            told = meta(line)
            if told is None:
                return  # a comment
            self._open(told.name, begin, end)
            if told.word == b"TYPE":
                self.families[told.name].kind = told.text
            return
        name = sample(line).name
        if not self._current or not belongs(name, self._current, self.families[self._current].kind):
            self._current = self._owner(name)
        self._open(self._current, begin, end)

    def _owner(self, name: bytes) -> bytes:
        """The family of a sample that does not follow its own."""
        if name in self.families:
            return name
        for suffix in (b"_total", b"_created", b"_bucket", b"_count", b"_sum", b"_info"):
            family = name.removesuffix(suffix)
            entry = self.families.get(family)
            if family != name and entry and belongs(name, family, entry.kind):
                return family
        return name

    def _open(self, name: bytes, begin: int, end: int) -> None:
        self._current = name
        spans = self.families.setdefault(name, Entry()).spans
        if spans and spans[-1][1] == begin:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))


def line_of(given: Sample) -> bytes:
    """The sample as text, exemplar and all."""
    labels = b"{%b}" % given.labels if given.labels else b""
    parts = [given.name + labels, given.value, given.timestamp, given.exemplar]
    return b" ".join(part for part in parts if part) + b"\n"


def sample_to_openmetrics(given: Sample) -> Sample:
    """A sample of text 0.0.4 as OpenMetrics writes it."""
    labels = _BOUND.sub(_float_bound, given.labels)
    return given._replace(labels=labels, timestamp=_scaled(given.timestamp, 0.001))


def sample_to_text(given: Sample) -> Sample:
    """A sample of OpenMetrics as text 0.0.4 writes it: without its exemplar."""
    return given._replace(exemplar=b"", timestamp=_scaled(given.timestamp, 1000, whole=True))


def _float_bound(found: re.Match[bytes]) -> bytes:
    """Bounds are written as floats: 1 is 1.0."""
    try:
        value = float(found[2])
    except ValueError:
        return found[0]
    text = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
    return b'%b="%b"' % (found[1], text.encode())


def _scaled(timestamp: bytes, by: float, *, whole: bool = False) -> bytes:
    if not timestamp:
        return b""
    try:
        value = float(timestamp) * by
    except ValueError:
        return b""
    return b"%d" % round(value) if whole else b"%.3f" % value


def fits(name: bytes, family: bytes, kind: bytes, *, openmetrics: bool) -> bool:
    """Whether a sample of this name may stand under that TYPE."""
    suffixes = SUFFIXES.get(kind, ())
    bare = kind not in SUFFIXES or kind == b"summary" or (kind == b"counter" and not openmetrics)
    if name == family:
        return bare
    return name.startswith(family) and name[len(family) :] in suffixes


def group(given: Sample) -> tuple[tuple[bytes, bytes], ...]:
    """What the buckets, the sum and the count of one histogram have in common."""
    return tuple(sorted(each for each in _LABEL.findall(given.labels) if each[0] not in _BOUNDS))


def help_in_openmetrics(text: bytes) -> bytes:
    """Quotes are escaped there, too."""
    return re.sub(rb'(\\\\)|(?<!\\)"', lambda found: found[1] or b'\\"', text)
