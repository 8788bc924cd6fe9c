# SPDX-License-Identifier: Apache-2.0
"""A whole OpenMetrics text as text 0.0.4: for several applications that do not agree on a format. Pure.

What 0.0.4 does not know becomes what it does: info and stateset are gauges, creation times are gauges of their own,
gaugehistograms and unknown are untyped; exemplars and units go.
"""

from __future__ import annotations

from agent.status import exposition
from agent.status.exposition import Index, meta, sample

_SAME = (b"gauge", b"histogram", b"summary")
_CREATED = b"_created"
_RENAMED = {b"counter": b"_total", b"info": b"_info"}


def to_text(data: bytes) -> bytes:
    """The text, or without its end mark as it is where it cannot be understood."""
    try:
        index = Index(data)
        return b"".join(_family(index, name) for name in index.families)
    except ValueError:
        return exposition.without_eof(data)


def _family(index: Index, name: bytes) -> bytes:
    kind = index.families[name].kind
    called = name + _RENAMED.get(kind, b"")
    own: list[bytes] = []
    created: list[bytes] = []
    told = b""
    for line in index.lines(name):
        if line.startswith(b"#"):
            found = meta(line)
            if found is not None and found.word == b"HELP":
                told = b"# HELP %b %b\n" % (called, found.text.replace(b'\\"', b'"'))
        elif line.strip():
            given = exposition.sample_to_text(sample(line))
            ends = given.name.endswith(_CREATED) and kind in exposition.SUFFIXES
            (created if ends else own).append(exposition.line_of(given))
    head = told + b"# TYPE %b %b\n" % (called, _kind(kind))
    tail = b"# TYPE %b gauge\n" % (name + _CREATED) if created else b""
    return b"".join([head, *own, tail, *created])


def _kind(kind: bytes) -> bytes:
    if kind in _SAME or kind == b"counter":
        return kind
    return b"gauge" if kind in (b"info", b"stateset") else b"untyped"
