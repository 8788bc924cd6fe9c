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
    assert "pilothouse_served_cert_expiry_seconds 100\n" in text
