# SPDX-License-Identifier: Apache-2.0
"""The two text formats of metrics, as far as merging must know them. Pure.

Text 0.0.4 and OpenMetrics 1.0.0 differ where it matters here in this: OpenMetrics names a counter's family without
``_total``, counts time in seconds, writes bounds as floats, knows exemplars, allows no blank lines and ends with
``# EOF``. Nothing is parsed before somebody needs it: an ``Index`` only finds which bytes belong to which family.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
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
# Possessive throughout: whatever an application says is looked at once, never tried again in another way.
_NAME = rb"[a-zA-Z_:][a-zA-Z0-9_:]*+"
_LABELS = rb'(?:[^"{}\n]|"(?:[^"\\\n]|\\.)*+")*+'
_VALUE = rb"[+-]?(?:[0-9.][0-9a-fA-FxX._+-]*+|[Ii]nf(?:inity)?|[Nn][Aa][Nn])"
_STAMP = rb"[+-]?[0-9.][0-9.eE+-]*+"
_EXEMPLAR = rb"#[ \t]*+\{.*+"
_SAMPLE = re.compile(
    rb"(%b)[ \t]*+(?:\{(%b)\})?[ \t]*+(?<=[ \t}])(%b)(?:[ \t]++(%b))?(?:[ \t]++(%b))?"
    % (_NAME, _LABELS, _VALUE, _STAMP, _EXEMPLAR)
)
_REST = rb"[ \t]*+(?:\{%b\})?[ \t]*+(?<=[ \t}])%b(?:[ \t]++%b)?(?:[ \t]++%b)?[ \t\r]*+\n" % (
    _LABELS,
    _VALUE,
    _STAMP,
    _EXEMPLAR,
)
_RUN = re.compile(rb"(%b)%b(?:\1%b){0,255}+" % (_NAME, _REST, _REST))
"""Lines with samples of one name: most of any text, told apart without a step of ours for each line."""
_BOUND = re.compile(rb'(?<![a-zA-Z0-9_])(le|quantile)="([^"]*)"')
_LABEL = re.compile(rb'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
_BOUNDS = (b"le", b"quantile")
_BLOCK = 64 * 1024
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


class TextCheck:
    """Whether bytes that come in pieces can be any text at all: UTF-8 without control characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True

    def feed(self, piece: bytes) -> bool:
        """Whether all can be text so far."""
        return self._look(piece, last=False)

    def finish(self) -> bool:
        """Whether it ended as a text does: not within a character."""
        return self._look(b"", last=True)

    def _look(self, piece: bytes, *, last: bool) -> bool:
        try:
            self._decoder.decode(piece, last)
        except UnicodeDecodeError:
            self._is_text = False
        self._is_text = self._is_text and not _NOT_TEXT.search(piece)
        return self._is_text


def without_eof(data: bytes) -> bytes:
    """The text without its end mark, tolerant as the peer is, and with a line's end."""
    end = len(data)
    while end and data[end - 1] in b" \t\r\n":
        end -= 1
    begin = end - len(EOF)
    if begin >= 0 and data[begin:end] == EOF and (not begin or data[begin - 1] == b"\n"[0]):
        data = data[:begin]
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
        while at < len(data):
            if run := _RUN.match(data, at):
                end = run.end()
                self._samples(run[1], at, end)
            else:
                end = data.find(b"\n", at) + 1 or len(data)
                self._take(data[at:end].rstrip(b"\r\n"), at, end)
            at = end

    def lines(self, name: bytes) -> Iterator[bytes]:
        """The lines of a family."""
        for begin, end in self.families[name].spans:
            for piece in _blocks(self.data, begin, end):
                yield from piece.splitlines()

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
        self._samples(sample(line).name, begin, end)

    def _samples(self, name: bytes, begin: int, end: int) -> None:
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


def _blocks(data: bytes, begin: int, end: int) -> Iterator[bytes]:
    """A part of the text in pieces of whole lines."""
    while begin < end:
        cut = end if end - begin <= _BLOCK else data.find(b"\n", begin + _BLOCK, end) + 1 or end
        yield data[begin:cut]
        begin = cut


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


def group(given: Sample) -> bytes:
    """What the buckets, the sum and the count of one histogram have in common, whatever the order of labels."""
    labels = sorted(each for each in _LABEL.findall(given.labels) if each[0] not in _BOUNDS)
    return b",".join(b'%b="%b"' % each for each in labels)


def help_in_openmetrics(text: bytes) -> bytes:
    """Quotes are escaped there, too."""
    return re.sub(rb'(\\\\)|(?<!\\)"', lambda found: found[1] or b'\\"', text)
