# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from sdsserver.metrics import Metrics


def test_nothing_counted_is_nothing_shown() -> None:
    assert Metrics().render(0.0) == ""


def test_counters_have_the_peers_names() -> None:
    metrics = Metrics(requests=2, failed_requests=1, retries=4, latency_ms=12.5)
    metrics.streams.rejects = 1
    text = metrics.render(0.0)
    assert "# TYPE istio_agent_num_outgoing_requests counter\n" in text
    assert 'istio_agent_num_outgoing_requests{request_type="csr"} 2\n' in text
    assert 'istio_agent_outgoing_latency{request_type="csr"} 12.5\n' in text
    assert "istio_agent_pilot_total_xds_rejects" in text


def test_the_expiry_is_relative_and_may_be_past() -> None:
    text = Metrics(expiry=100.0).render(130.0)
    assert 'istio_agent_cert_expiry_seconds{resource_name="default"} -30\n' in text
    assert "pilothouse_served_cert_expiry_seconds -30\n" in text


def test_what_envoy_showed_counts_before_what_it_was_given() -> None:
    text = Metrics(expiry=100.0, shown_expiry=50.0, differs=True).render(30.0)
    assert "pilothouse_served_cert_expiry_seconds 20\n" in text
    assert "pilothouse_served_cert_differs 1\n" in text


def test_send_times_are_a_histogram_after_the_first_send() -> None:
    metrics = Metrics()
    assert "send_time" not in metrics.render(0.0)
    metrics.sends.add(0.05)
    metrics.sends.add(60.0)
    text = metrics.render(0.0)
    assert 'istio_agent_pilot_xds_send_time_bucket{le="0.01"} 0\n' in text
    assert 'istio_agent_pilot_xds_send_time_bucket{le="0.1"} 1\n' in text
    assert 'istio_agent_pilot_xds_send_time_bucket{le="+Inf"} 2\n' in text
    assert "istio_agent_pilot_xds_send_time_count 2\n" in text
