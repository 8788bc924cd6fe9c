# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

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


def test_certificates_of_files_are_told_by_name_and_parsers_read_them() -> None:
    odd = 'file-cert:/a "b"\\c.pem~/k'
    metrics = Metrics(files_unusable=1, files_refused=2, file_expiry={"default": 90.0, odd: 50.0})
    families = list(text_string_to_metric_families(metrics.render(60.0)))
    samples = {
        (each.name, each.labels.get("resource_name", "")): each.value
        for family in families
        for each in family.samples
    }
    assert samples["pilothouse_file_cert_expiry_seconds", "default"] == 30.0
    assert samples["pilothouse_file_cert_expiry_seconds", odd] == -10.0
    assert samples["pilothouse_secret_files_unusable", ""] == 1.0
    assert samples["pilothouse_secret_files_refused_total", ""] == 2.0
    assert len({family.name for family in families}) == len(families)
