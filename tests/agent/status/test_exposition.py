# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from agent.status import exposition
from agent.status.exposition import (
    Index,
    Sample,
    TextCheck,
    belongs,
    fits,
    meta,
    sample,
    without_eof,
)
from tests.support.needs import REPO


def test_metadata() -> None:
    assert meta(b"# TYPE a counter") == (b"TYPE", b"a", b"counter")
    assert meta(b"# HELP a  some words ") == (b"HELP", b"a", b"some words")
    assert meta(b"# HELP a") == (b"HELP", b"a", b"")
    assert meta(b"# anything else") is None
    assert meta(b"# EOF") is None


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"a 1", (b"a", b"", b"1", b"", b"")),
        (b"a{} 1 5", (b"a", b"", b"1", b"5", b"")),
        (b'a{x="}\\" ",} +Inf', (b"a", b'x="}\\" "', b"+Inf", b"", b"")),
        (
            b'a_total{x="1"} 1 2.5 # {t="1"} 1 2',
            (b"a_total", b'x="1"', b"1", b"2.5", b'# {t="1"} 1 2'),
        ),
        (b'a 1 # {t="1"} 1', (b"a", b"", b"1", b"", b'# {t="1"} 1')),
        (b"\ta\t1\t", (b"a", b"", b"1", b"", b"")),
    ],
)
def test_samples(line: bytes, parts: tuple[bytes, ...]) -> None:
    assert sample(line) == parts


@pytest.mark.parametrize("line", [b"a", b"a{", b"1a 2", b'a{x="1} 2', b"<html>", b"a 1 2 3"])
def test_what_is_no_sample(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a sample"):
        sample(line)


def test_names_of_families() -> None:
    assert belongs(b"a_bucket", b"a", b"histogram")
    assert not belongs(b"a_bucket", b"a", b"counter")
    assert not belongs(b"ab", b"a", b"histogram")
    assert fits(b"a", b"a", b"counter", openmetrics=False)
    assert not fits(b"a", b"a", b"counter", openmetrics=True)
    assert fits(b"a_total", b"a", b"counter", openmetrics=True)
    assert fits(b"a", b"a", b"summary", openmetrics=True)
    assert not fits(b"a", b"a", b"histogram", openmetrics=False)


def test_runs_of_samples_are_told_apart_as_single_lines_are() -> None:
    lines = [
        *(b"a %d" % n for n in range(600)),
        *(b'a{x="%d\\"{}"} %d 1700 # {t="1"} 1' % (n, n) for n in range(300)),
        *(b"ab 1", b"a{} 1\t", b"  a 2", b"a 1\r", b"b{c='d'} NaN", b"b +Inf", b"# x", b"a 3"),
    ]
    for end in (b"", b"\n"):
        index = Index(b"\n".join(lines) + end)
        alone = [(sample(line.strip()).name, line) for line in lines if not line.startswith(b"#")]
        for name in (b"a", b"ab", b"b"):
            told = [line.rstrip(b"\r") for line in index.lines(name)]
            assert told == [line.rstrip(b"\r") for each, line in alone if each == name]


@pytest.mark.parametrize("spoilt", [b"a 1 2 3", b"a{", b'a{x="1} 2', b"a 1 x", b"<html>"])
def test_one_line_that_is_none_is_found_among_many(spoilt: bytes) -> None:
    with pytest.raises(ValueError, match="not a sample"):
        Index(b"a 1\n" * 700 + spoilt + b"\n" + b"a 2\n" * 700)


HOSTILE = """
import contextlib
from agent.status.exposition import Index, group, sample
n = 1_000_000
for line in (
    b"a" + b" " * n + b"x", b"a 1" + b" " * n + b"x", b"a{" + b"b" * n + b"} 1", b"a{" + b'b="' * n + b"} 1",
    b'a{b="' + bytes([92]) * n + b"} 1", b"a" * n, b"a " + b"1" * n + b"x", b"# HELP " + b"a" * n,
    b"# TYPE " + b" " * n + b"a", b"a{" + b"b " * n + b"} 1", b'a{b="c"' + b" " * n + b"} 1",
):
    for text in (line, line + bytes([10])):
        with contextlib.suppress(ValueError):
            Index(text)
        with contextlib.suppress(ValueError):
            group(sample(line))
"""


def test_no_line_is_tried_again_in_other_ways() -> None:
    """A million characters are a matter of a second then; otherwise of hours: the deadline is only to end."""
    subprocess.run([sys.executable, "-c", HOSTILE], cwd=REPO, check=True, timeout=300)


def test_an_index_finds_what_belongs_together() -> None:
    text = b"# TYPE a counter\na 1\n# note\nb 2\n\n# HELP h x\n# TYPE h histogram\nh_sum 1\na 3\nh_count 1\n"
    index = Index(text)
    assert list(index.families) == [b"a", b"b", b"h"]
    assert index.text(b"a") == b"# TYPE a counter\na 1\na 3\n"
    assert list(index.lines(b"h")) == [
        b"# HELP h x",
        b"# TYPE h histogram",
        b"h_sum 1",
        b"h_count 1",
    ]
    assert index.families[b"h"].kind == b"histogram"


@pytest.mark.parametrize(
    ("given", "without"),
    [
        (b"", b""),
        (b"# EOF", b""),
        (b"a 1", b"a 1\n"),
        (b"a 1\n# EOF\n", b"a 1\n"),
        (b"a 1\r\n# EOF \r\n", b"a 1\r\n"),
        (b"a 1 # EOF\n", b"a 1 # EOF\n"),
    ],
)
def test_end_marks(given: bytes, without: bytes) -> None:
    assert without_eof(given) == without


def test_what_is_text() -> None:
    def judged(*pieces: bytes) -> tuple[bool, bool]:
        """After all pieces, and after the end."""
        check = TextCheck()
        return [check.feed(piece) for piece in pieces][-1], check.finish()

    assert judged("ä \t\r\n".encode()) == (True, True)
    assert judged("ä".encode()[:1], "ä".encode()[1:]) == (True, True)
    assert judged("ä".encode()[:1]) == (True, False)
    assert judged(b"a\x00b", b"c") == (False, False)
    assert judged(b"\xff\xfe") == (False, False)


def test_numbers_in_the_other_format() -> None:
    given = sample(b'h_bucket{le="1",x="le=\\"1\\""} 3 1500')
    assert exposition.sample_to_openmetrics(given) == Sample(
        b"h_bucket", b'le="1.0",x="le=\\"1\\""', b"3", b"1.500", b""
    )
    back = exposition.sample_to_text(sample(b'a 1 2.5 # {t="1"} 1'))
    assert exposition.line_of(back) == b"a 1 2500\n"


def test_help_with_quotes() -> None:
    assert exposition.help_in_openmetrics(b'a "b" \\\\ \\n') == b'a \\"b\\" \\\\ \\n'
