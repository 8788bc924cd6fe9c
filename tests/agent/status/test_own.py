# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from agent.status.own import OwnMetrics


def test_the_process_is_always_told() -> None:
    text = OwnMetrics().render()
    for name in ("cpu_seconds_total", "open_fds", "virtual_memory_bytes", "resident_memory_bytes"):
        assert f"\nistio_agent_process_{name} " in f"\n{text}"
    assert text.endswith("\n")


def test_a_metric_appears_with_its_first_recording() -> None:
    own = OwnMetrics()
    assert "scrape" not in own.render()
    assert "startup" not in own.render()
    own.scrapes = 2
    own.startup_seconds = 1.5
    own.failed("envoy")
    own.failed("envoy")
    own.failed("application")
    text = own.render()
    assert "# TYPE istio_agent_scrapes_total counter\nistio_agent_scrapes_total 2\n" in text
    assert "istio_agent_startup_duration_seconds 1.5\n" in text
    assert text.count("# TYPE istio_agent_scrape_failures_total counter") == 1
    assert 'istio_agent_scrape_failures_total{type="application"} 1\n' in text
    assert 'istio_agent_scrape_failures_total{type="envoy"} 2\n' in text


def test_large_counts_keep_their_digits() -> None:
    own = OwnMetrics(scrapes=12345678)
    assert "istio_agent_scrapes_total 12345678\n" in own.render()
