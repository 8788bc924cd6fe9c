# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy.logs import LIMIT, Line, Lines, parse
from mesh.log import Level


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[2026-01-02 03:04:05.678][7][warning][config] [source/server/x.cc:12] unknown field",
            Line(Level.WARN, "unknown field", "config", "source/server/x.cc:12"),
        ),
        ("[2026-01-02 03:04:05.678][7][info][main] up", Line(Level.INFO, "up", "main")),
        (
            "2026-01-02T03:04:05.678901Z\terror\tenvoy upstream source/x.cc:1\tgone\tthread=9",
            Line(Level.ERROR, "gone", "upstream", "source/x.cc:1"),
        ),
        (
            '{"level":"critical","msg":"bad \\"config\\"","scope":"envoy main","caller":"x.cc:1"}',
            Line(Level.FATAL, 'bad "config"', "main", "x.cc:1"),
        ),
        ("{not json", Line(Level.INFO, "{not json")),
        ("[1,2]", Line(Level.INFO, "[1,2]")),
        ('{"other": 1}', Line(Level.INFO, '{"other": 1}')),
        ("a library speaks", Line(Level.INFO, "a library speaks")),
    ],
)
def test_parts_of_a_line(text: str, line: Line) -> None:
    assert parse(text) == line


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n"))), st.data())
def test_lines_come_out_whole_however_they_came_in(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{text}\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    lines, found = Lines(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += lines.feed(whole[start:end])
    assert found == [text for text in texts if text.encode().strip()]
    assert lines.end() == []


def test_the_last_words_need_no_end() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == ["one"]
    assert lines.end() == ["tw"]
    assert lines.end() == []


def test_a_line_without_end_is_cut_and_its_rest_left_out() -> None:
    lines = Lines()
    assert lines.feed(b"x" * (LIMIT + 1)) == ["x" * LIMIT]
    assert lines.feed(b"y" * (3 * LIMIT)) == []
    assert lines.feed(b"rest\nnext\n") == ["next"]
