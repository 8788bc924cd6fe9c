# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.status import exposition
from agent.status.exposition import Index, Sample, belongs, fits, is_text, meta, sample, without_eof


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


def test_an_index_finds_what_belongs_together() -> None:
    text = b"# TYPE a counter\na 1\n# note\nb 2\n\n# HELP h x\n# TYPE h histogram\nh_sum 1\na 3\nh_count 1\n"
    index = Index(text)
    assert list(index.families) == [b"a", b"b", b"h"]
    assert index.text(b"a") == b"# TYPE a counter\na 1\na 3\n"
    assert index.lines(b"h") == [b"# HELP h x", b"# TYPE h histogram", b"h_sum 1", b"h_count 1"]
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
    assert is_text("ä \t\r\n".encode())
    assert not is_text(b"a\x00b")
    assert not is_text(b"\xff\xfe")


def test_numbers_in_the_other_format() -> None:
    given = sample(b'h_bucket{le="1",x="le=\\"1\\""} 3 1500')
    assert exposition.sample_to_openmetrics(given) == Sample(
        b"h_bucket", b'le="1.0",x="le=\\"1\\""', b"3", b"1.500", b""
    )
    back = exposition.sample_to_text(sample(b'a 1 2.5 # {t="1"} 1'))
    assert exposition.line_of(back) == b"a 1 2500\n"


def test_help_with_quotes() -> None:
    assert exposition.help_in_openmetrics(b'a "b" \\\\ \\n') == b'a \\"b\\" \\\\ \\n'
