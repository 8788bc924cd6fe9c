# SPDX-License-Identifier: Apache-2.0
"""Joins metrics of several sources into one valid text: each family once, its samples together. Pure.

Theory. Ours and Envoy's text is a stream of any length and passes line by line at most; applications' texts are whole
(they are bounded) and indexed. Where the stream closes a family that an application has too, the application's
samples follow at once, under the HELP and TYPE of the first; so nothing of the stream is ever kept. What no family
shares is handed on byte for byte: in text 0.0.4 only blocks that name a shared family are looked at line by line.

Policy for families that several sources have. HELP, TYPE and UNIT are the first source's (the agent, Envoy, the
applications in their order). Samples of all are kept, but a group of labels that an earlier source has is left out of
later ones. A family whose type contradicts the first's, or whose samples would bear another family's names, is left
out. Everything left out is counted in ``dropped``.

Into OpenMetrics our and Envoy's text is translated, too: see ``exposition``. A counter ``x_total`` is the
application's family ``x`` there; where the application has none, its type is given up, as ``x`` may be a gauge's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.status import exposition
from agent.status.exposition import EOF, Index, Meta, Sample, meta, sample

_NAMED = re.compile(rb"# (?:TYPE|HELP)[ \t]+(\S+)")
"""Not anchored to a line's begin, as that costs ten times as much: what it finds besides is looked at in vain."""
_TOTAL = b"_total"
_UNKNOWN = (b"", b"untyped", b"unknown")
_SIMPLE = {*_UNKNOWN, b"gauge", b"counter"}
"""Families of plain samples: an unknown type contradicts none of these."""
_KEPT_TYPES = (b"gauge", b"histogram", b"summary")


class Regroup:
    """``feed`` the stream, ``end_source`` after each of its sources, ``finish`` with the applications."""

    def __init__(
        self, applications: Sequence[Index], *, openmetrics: bool, always: bool = False
    ) -> None:
        self.dropped = 0
        """Families, or parts of them, that were left out."""
        self._applications = applications
        self._openmetrics = openmetrics
        self._every_line = always or openmetrics
        self._always = always
        self._shared = {name for index in applications for name in index.families}
        self._done: set[bytes] = set()
        self._claimed: set[bytes] = set()
        self._rest = b""
        self._open: _Family | None = None

    def feed(self, piece: bytes) -> bytes:
        """What can be said after this piece of the stream."""
        data = self._rest + piece if self._rest else piece
        cut = data.rfind(b"\n") + 1
        block, self._rest = data[:cut], data[cut:]
        if not self._every_line and self._open is None and not self._names_shared(block):
            return block
        return b"".join([*map(self._line, block.splitlines()), self._let_go()])

    def end_source(self) -> bytes:
        """The end of one source of the stream, which the next does not continue."""
        last = self.feed(b"\n") if self._rest else b""
        return last + self._close()

    def finish(self) -> Iterator[bytes]:
        """The applications' own, line by line at the least, and the end mark."""
        for at in range(len(self._applications)):
            yield from self._application(at)
        if self._openmetrics:
            yield EOF + b"\n"

    def _names_shared(self, block: bytes) -> bool:
        return any(found[1] in self._shared for found in _NAMED.finditer(block))

    def _let_go(self) -> bytes:
        """Where only shared families matter, another one is not watched beyond its block."""
        family = self._open
        if family is None or self._every_line or family.told in self._shared:
            return b""
        self._open = None
        return b"" if family.begun else self._begin(family)

    def _line(self, line: bytes) -> bytes:
        if not line.strip() or (line.startswith(b"#") and meta(line) is None):
            return b"" if self._openmetrics else line + b"\n"
        told = meta(line) if line.startswith(b"#") else None
        if told is not None:
            return self._on_meta(told)
        try:
            return self._on_sample(sample(line))
        except ValueError:
            self.dropped += 1
            return b""

    def _on_meta(self, told: Meta) -> bytes:
        if self._open is not None and self._open.told == told.name and not self._open.begun:
            self._open.metas.append(told)
            return b""
        before = self._close()
        self._open = _Family(told.name, [told])
        return before

    def _on_sample(self, given: Sample) -> bytes:
        before = b""
        family = self._open
        if family is None or not exposition.belongs(given.name, family.told, family.told_kind):
            before = self._close()
            family = self._open = _Family(given.name, [])
        if not family.begun:
            before += self._begin(family)
        if family.left_out:
            return before
        if family.name in self._shared:
            family.groups.add(exposition.group(given))
        if self._openmetrics:
            given = exposition.sample_to_openmetrics(given)
        return before + exposition.line_of(given)

    def _begin(self, family: _Family) -> bytes:
        """Its metadata, now that it has a sample."""
        family.begun = True
        family.name, family.kind = self._called(family.told, family.told_kind)
        names = exposition.claims(family.name, family.kind) if self._openmetrics else (family.name,)
        if not self._claimed.isdisjoint(names):
            family.left_out = True
            self.dropped += 1
            return b""
        if self._every_line or family.name in self._shared:
            self._claimed.update(names)
        return b"".join(self._meta_line(family, each) for each in family.metas)

    def _called(self, name: bytes, kind: bytes) -> tuple[bytes, bytes]:
        """Name and type in the format of the answer."""
        if not self._openmetrics:
            return name, kind
        if kind == b"counter":
            bare = name.removesuffix(_TOTAL)
            kinds = [i.families[bare].kind for i in self._applications if bare in i.families]
            return (bare, kind) if name != bare and kinds[:1] == [kind] else (name, b"unknown")
        return name, kind if kind in _KEPT_TYPES else b"unknown"

    def _meta_line(self, family: _Family, told: Meta) -> bytes:
        text = told.text
        if told.word == b"TYPE":
            text = family.kind
        elif self._openmetrics:
            text = exposition.help_in_openmetrics(text)
        return b"# %b %b %b\n" % (told.word, family.name, text)

    def _close(self) -> bytes:
        """The end of the open family: what the applications have of it follows."""
        family, self._open = self._open, None
        if family is None:
            return b""
        if not family.begun:  # it had no sample
            if self._every_line:
                return b""
            return b"".join([self._begin(family), *self._others(family, 0)])
        return b"" if family.left_out else b"".join(self._others(family, 0))

    def _others(self, family: _Family, begin: int) -> Iterator[bytes]:
        """Samples of the family in the applications from ``begin`` on."""
        if family.name not in self._shared:
            return
        self._done.add(family.name)
        for index in self._applications[begin:]:
            if family.name in index.families:
                yield from self._joined(family, index)

    def _joined(self, family: _Family, index: Index) -> Iterator[bytes]:
        if not self._agrees(family, index):
            self.dropped += 1
            return
        new: set[bytes] = set()
        left_out = False
        for each in _samples(index, family.name):
            group = exposition.group(each)
            if group in family.groups:
                left_out = True
            else:
                new.add(group)
                yield exposition.line_of(each)
        family.groups |= new
        self.dropped += left_out

    def _agrees(self, family: _Family, index: Index) -> bool:
        kinds = {index.families[family.name].kind, family.kind}
        unsaid = not kinds.isdisjoint(_UNKNOWN) and kinds <= _SIMPLE
        return (len(kinds) == 1 or unsaid) and all(
            exposition.fits(name, family.name, family.kind, openmetrics=self._openmetrics)
            for name in set(_sample_names(index, family.name))
        )

    def _application(self, at: int) -> Iterator[bytes]:
        index = self._applications[at]
        later = {name for each in self._applications[at + 1 :] for name in each.families}
        names = index.families.keys()
        if not self._always and names.isdisjoint(self._done | later) and self._clear(index):
            yield exposition.without_eof(index.data)
            return
        for name in index.families:
            yield from self._application_family(at, name)

    def _clear(self, index: Index) -> bool:
        """Whether none of its samples bears a name of another source's family."""
        if not self._openmetrics:
            return True
        mine = {n for f, e in index.families.items() for n in exposition.claims(f, e.kind)}
        if not self._claimed.isdisjoint(mine):
            return False
        self._claimed |= mine
        return True

    def _application_family(self, at: int, name: bytes) -> Iterator[bytes]:
        index = self._applications[at]
        if name in self._done:
            return
        self._done.add(name)
        kind = index.families[name].kind
        names = exposition.claims(name, kind) if self._openmetrics else (name,)
        if not self._claimed.isdisjoint(names):
            self.dropped += 1
            return
        self._claimed.update(names)
        yield from _in_order(index, name)
        family = _Family(name, [])
        family.name, family.kind = name, kind
        if any(name in later.families for later in self._applications[at + 1 :]):
            family.groups = {exposition.group(each) for each in _samples(index, name)}
            yield from self._others(family, at + 1)


def _in_order(index: Index, name: bytes) -> Iterator[bytes]:
    """Metadata, each once, before samples."""
    metas: dict[bytes, bytes] = {}
    for line in index.lines(name):
        if line.startswith(b"#") and (told := meta(line)) is not None:
            metas.setdefault(told.word, line)
    yield from (line + b"\n" for line in metas.values())
    yield from (line + b"\n" for line in _sample_lines(index, name))


def _sample_lines(index: Index, name: bytes) -> Iterator[bytes]:
    return (line for line in index.lines(name) if line.strip() and not line.startswith(b"#"))


def _sample_names(index: Index, name: bytes) -> Iterator[bytes]:
    return (exposition.sample_name(line.strip()) for line in _sample_lines(index, name))


def _samples(index: Index, name: bytes) -> Iterator[Sample]:
    return map(sample, _sample_lines(index, name))


class _Family:
    """The family of the stream that is open."""

    __slots__ = ("begun", "groups", "kind", "left_out", "metas", "name", "told")

    def __init__(self, told: bytes, metas: list[Meta]) -> None:
        self.told = told
        self.name = told
        self.kind = b""
        self.metas = metas
        self.begun = False
        self.left_out = False
        self.groups: set[bytes] = set()

    @property
    def told_kind(self) -> bytes:
        """The type, as the source says it."""
        return next((each.text for each in self.metas if each.word == b"TYPE"), b"")
