# SPDX-License-Identifier: Apache-2.0
"""Metrics in tests: a corpus of texts, and prometheus-client as the judge of what came out."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

NAMES = ("a", "b", "b_total", "c_sum", "c", "jvm", "process_x", "d_count")
KINDS = ("counter", "gauge", "histogram", "summary", "")
LABELS = ("", 'x="1"', 'x="2"', 'x="1",y="z\\"}"', 'y="a,b"')


def families(text: str, *, is_openmetrics: bool) -> dict[str, Any]:
    """Each family once, or ValueError: by the parser that is not ours."""
    if (
        not is_openmetrics
    ):  # counters a and a_total are two families there, which the parser calls the same
        types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        if len(types) != len(set(types)):
            raise ValueError(f"types twice: {sorted(types)}")
        return {family.name: family for family in text_format(text)}
    listed = list(openmetrics(text))  # type: ignore[no-untyped-call]  # untyped there
    names = [family.name for family in listed]
    if len(names) != len(set(names)):
        raise ValueError(f"families twice: {sorted(names)}")
    return dict(zip(names, listed, strict=True))


def _labels(*parts: str) -> str:
    text = ",".join(part for part in parts if part)
    return f"{{{text}}}" if text else ""


def _text_lines(name: str, kind: str, labels: str, value: int) -> list[str]:
    match kind:
        case "histogram":
            rows = [f"{name}_bucket{_labels(labels, f'le={quoted}')} {value}" for quoted in BOUNDS]
            tail = [
                f"{name}_sum{_labels(labels)} {value}",
                f"{name}_count{_labels(labels)} {value}",
            ]
            return rows + tail
        case "summary":
            quantile = _labels(labels, 'quantile="0.5"')
            tail = [
                f"{name}_sum{_labels(labels)} {value}",
                f"{name}_count{_labels(labels)} {value}",
            ]
            return [f"{name}{quantile} {value}", *tail]
        case _:
            return [f"{name}{_labels(labels)} {value}"]


BOUNDS = ('"0.5"', '"1"', '"+Inf"')


@st.composite
def text_bodies(draw: st.DrawFn, *, names: tuple[str, ...] = NAMES) -> str:
    """Text 0.0.4 as a careful application writes it: each family once, none under another's names."""
    out: list[str] = []
    taken: set[str] = set()
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=5)):
        kind = draw(st.sampled_from(KINDS))
        claimed = {name, *(name + s for s in ("_bucket", "_sum", "_count", "_total", "_created"))}
        if taken & claimed:
            continue
        taken |= claimed
        if draw(st.booleans()):
            out.append(f"# HELP {name} told by {name}")
        if kind:
            out.append(f"# TYPE {name} {kind}")
        for labels in draw(st.lists(st.sampled_from(LABELS), unique=True, min_size=1, max_size=3)):
            out += _text_lines(name, kind, labels, draw(st.integers(0, 9)))
    return "".join(f"{line}\n" for line in out)


@st.composite
def openmetrics_bodies(draw: st.DrawFn) -> str:
    """OpenMetrics 1.0.0 as a careful application writes it."""
    out: list[str] = []
    taken: set[str] = set()
    for drawn in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5)):
        kind = draw(st.sampled_from(("counter", "gauge", "histogram", "info", "unknown")))
        name = drawn.removesuffix("_total") if kind == "counter" else drawn
        claimed = {
            name,
            *(name + s for s in ("_bucket", "_sum", "_count", "_total", "_created", "_info")),
        }
        if taken & claimed:
            continue
        taken |= claimed
        out.append(f"# TYPE {name} {kind}")
        if draw(st.booleans()):
            out.append(f'# HELP {name} told \\"by\\" {name}')
        for labels in draw(st.lists(st.sampled_from(LABELS), unique=True, min_size=1, max_size=3)):
            value = draw(st.integers(0, 9))
            match kind:
                case "counter":
                    exemplar = draw(st.sampled_from(("", ' # {id="7"} 1.0 123.5')))
                    out.append(f"{name}_total{_labels(labels)} {value}{exemplar}")
                    out.append(f"{name}_created{_labels(labels)} 1.5")
                case "info":
                    out.append(f"{name}_info{_labels(labels)} 1")
                case "histogram":
                    lines = _text_lines(name, kind, labels, value)
                    out += [line.replace('le="1"', 'le="1.0"') for line in lines]
                case _:
                    stamp = draw(st.sampled_from(("", " 12.5")))
                    out.append(f"{name}{_labels(labels)} {value}{stamp}")
    return "".join(f"{line}\n" for line in [*out, "# EOF"])
