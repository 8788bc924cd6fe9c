# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.status.exposition import Index
from agent.status.regroup import Regroup
from tests.support.metrics import families, openmetrics_bodies, text_bodies


def joined(
    streams: list[str], apps: list[str], *, openmetrics: bool = False, step: int = 10_000
) -> str:
    """The streams in pieces of so many bytes, then the applications."""
    join = Regroup([Index(app.encode()) for app in apps], openmetrics=openmetrics)
    out = []
    for stream in streams:
        data = stream.encode()
        out += [join.feed(data[at : at + step]) for at in range(0, len(data), step)]
        out.append(join.end_source())
    return b"".join([*out, *join.finish()]).decode()


def test_what_nobody_shares_stays_byte_for_byte() -> None:
    envoy = '# a comment\n# TYPE a counter\na{} 1\n\n# HELP b  odd   spaces \nb{x="1",} 2 1700\n'
    app = "# TYPE c gauge\n\nc 3\nno_type 4\n"
    assert joined([envoy], [app]) == envoy + app


def test_a_shared_family_is_told_once_and_stands_together() -> None:
    envoy = '# TYPE a counter\na{s="e"} 1\n# TYPE z gauge\nz 1\n'
    app = '# HELP a of the app\n# TYPE a counter\na{s="app"} 2\n# TYPE q gauge\nq 1\n'
    assert joined([envoy], [app]) == (
        '# TYPE a counter\na{s="e"} 1\na{s="app"} 2\n# TYPE z gauge\nz 1\n# TYPE q gauge\nq 1\n'
    )


def test_the_first_source_of_a_series_wins_whatever_the_order_of_labels() -> None:
    envoy = '# TYPE a counter\na{s="1",t="2"} 1\n'
    app = '# TYPE a counter\na{t="2",s="1"} 7\na{t="3"} 8\n'
    assert joined([envoy], [app]) == '# TYPE a counter\na{s="1",t="2"} 1\na{t="3"} 8\n'


def test_types_that_contradict() -> None:
    join = Regroup([Index(b"# TYPE a gauge\na 7\n")], openmetrics=False)
    text = join.feed(b"# TYPE a counter\na 1\n") + join.end_source()
    assert b"".join([text, *join.finish()]) == b"# TYPE a counter\na 1\n"
    assert join.dropped == 1


def test_two_applications_and_no_stream() -> None:
    one, two = "# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n", '# TYPE a counter\na{x="y"} 2\nc 3\n'
    assert joined([], [one, two]) == (
        '# TYPE a counter\na 1\na{x="y"} 2\n# TYPE b gauge\nb 1\nc 3\n'
    )


def test_openmetrics_has_one_end_and_translates_the_stream() -> None:
    envoy = (
        "# TYPE a counter\na{} 1\n\n# TYPE h histogram\n"
        'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1 1500\n'
    )
    app = '# TYPE req counter\nreq_total{a="b"} 1 # {t="1"} 1\n# EOF\n'
    assert joined([envoy], [app], openmetrics=True) == (
        "# TYPE a unknown\na 1\n# TYPE h histogram\n"
        'h_bucket{le="1.0"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1 1.500\n'
        '# TYPE req counter\nreq_total{a="b"} 1 # {t="1"} 1\n# EOF\n'
    )


def test_a_counter_of_both_formats_is_one_family() -> None:
    envoy = '# TYPE req_total counter\nreq_total{s="e"} 1\n'
    app = '# TYPE req counter\nreq_total{s="a"} 2\n# EOF\n'
    text = joined([envoy], [app], openmetrics=True)
    assert text == '# TYPE req counter\nreq_total{s="e"} 1\nreq_total{s="a"} 2\n# EOF\n'


@settings(max_examples=60, deadline=None)
@given(envoy=text_bodies(), app=text_bodies(), other=text_bodies(), step=st.integers(1, 60))
def test_text_of_any_sources_is_valid(envoy: str, app: str, other: str, step: int) -> None:
    text = joined([envoy], [app, other], step=step)
    found = families(text, is_openmetrics=False)
    told = set(itertools.chain(*(families(t, is_openmetrics=False) for t in (envoy, app, other))))
    # the parser calls a counter a_total a, too
    assert {n.removesuffix("_total") for n in found} == {n.removesuffix("_total") for n in told}


@settings(max_examples=60, deadline=None)
@given(
    agent=text_bodies(names=("own_x", "own_y")),
    envoy=text_bodies(),
    app=openmetrics_bodies(),
    other=openmetrics_bodies(),
    step=st.integers(1, 60),
)
def test_openmetrics_of_any_sources_is_valid(
    agent: str, envoy: str, app: str, other: str, step: int
) -> None:
    text = joined([agent, envoy], [app, other], openmetrics=True, step=step)
    families(text, is_openmetrics=True)
    assert text.count("# EOF") == 1
    assert text.endswith("# EOF\n")


@settings(max_examples=60, deadline=None)
@given(envoy=text_bodies(), app=text_bodies(), step=st.integers(1, 40))
def test_the_size_of_pieces_changes_nothing(envoy: str, app: str, step: int) -> None:
    # An untyped family in a block of its own may be passed by, as only types are looked for. The parser then knows
    # it as a_total beside the application's typed a.
    pieces, whole = (joined([envoy], [app], step=step), joined([envoy], [app]))
    found = [families(text, is_openmetrics=False) for text in (pieces, whole)]
    assert {name.removesuffix("_total") for name in found[0]} == {
        name.removesuffix("_total") for name in found[1]
    }


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_memory_of_a_long_stream_stays_flat(*, openmetrics: bool) -> None:
    import tracemalloc

    app = "# TYPE shared counter\nshared_total 1\n" + ("# EOF\n" if openmetrics else "")
    join = Regroup([Index(app.encode())], openmetrics=openmetrics)
    block = b"".join(b'row{at="%d"} 1\n' % n for n in range(2000))
    join.feed(b"# TYPE row gauge\n")
    join.feed(block)
    tracemalloc.start()
    for _ in range(40):
        join.feed(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(block)
