# SPDX-License-Identifier: Apache-2.0
"""Counters and their text."""

from __future__ import annotations

from upstream.metrics import Metric, Metrics, counter, gauge, render


def test_text_form() -> None:
    metrics = Metrics()
    metrics.add(Metric.PUSHES, type="cds")
    metrics.add(Metric.PUSHES, 2, type="eds")
    assert metrics.value(Metric.PUSHES, type="eds") == 2
    text = render([*metrics.samples(), gauge("g", 1.5, a='x"\\\n'), counter("c", 3)])
    assert text == (
        "# TYPE c counter\n"
        "c 3\n"
        "# TYPE g gauge\n"
        'g{a="x\\"\\\\\\n"} 1.5\n'
        "# TYPE pilot_xds_pushes counter\n"
        'pilot_xds_pushes{type="cds"} 1\n'
        'pilot_xds_pushes{type="eds"} 2\n'
    )
