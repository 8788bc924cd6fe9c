# SPDX-License-Identifier: Apache-2.0
"""Every metric of the peer's under its exact name, type and labels, once it was used. Source: spec/agent.md 11.1."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.status.own import OwnMetrics
from agent.xds.counts import Counts, Ending
from sdsserver.metrics import Metrics

PREFIX = "istio_agent_"
CSR = {"request_type": "csr"}
SDS = {"type": "sds"}
NAMES = [
    ("startup_duration_seconds", "gauge", {}),
    ("scrapes_total", "counter", {}),
    ("scrape_failures_total", "counter", {"type": "envoy"}),
    ("istiod_connection_failures", "counter", {}),
    ("istiod_connection_terminations", "counter", {"type": "error"}),
    ("envoy_connection_terminations", "counter", {"type": "cancelled"}),
    ("xds_proxy_requests", "counter", {}),
    ("xds_proxy_responses", "counter", {}),
    ("outgoing_latency", "counter", CSR),
    ("num_outgoing_requests", "counter", CSR),
    ("num_failed_outgoing_requests", "counter", CSR),
    ("num_outgoing_retries", "counter", CSR),
    ("num_file_watcher_failures_total", "counter", {}),
    ("num_file_secret_failures_total", "counter", {}),
    ("cert_expiry_seconds", "gauge", {"resource_name": "default"}),
    ("pilot_xds_recv_max", "gauge", {}),
    ("pilot_total_xds_internal_errors", "counter", {}),
    ("pilot_xds_expired_nonce", "counter", SDS),
    ("pilot_total_xds_rejects", "counter", SDS),
    ("pilot_xds_write_timeout", "counter", {}),
    ("pilot_xds_send_time", "histogram", {}),
    ("process_cpu_seconds_total", "counter", {}),
    ("process_resident_memory_bytes", "gauge", {}),
    ("process_open_fds", "gauge", {}),
]


def everything_used() -> str:
    own = OwnMetrics(scrapes=1, startup_seconds=2.0)
    own.failed("envoy")
    xds = Counts(requests=1, responses=1, failures=1, largest_request=1)
    xds.upstream_ends[Ending.ERROR] = 1
    xds.envoy_ends[Ending.CANCELLED] = 1
    sds = Metrics(
        requests=1,
        failed_requests=1,
        retries=1,
        latency_ms=1.0,
        file_secret_failures=1,
        file_watcher_failures=1,
        internal_errors=1,
        write_timeouts=1,
        expiry=10.0,
    )
    sds.sends.add(0.5)
    sds.streams.rejects = sds.streams.expired_nonces = 1
    return f"{sds.render(0.0)}{xds.render()}{own.render()}"


@pytest.mark.parametrize(("name", "kind", "labels"), NAMES, ids=str)
def test_it_is_there(name: str, kind: str, labels: dict[str, str]) -> None:
    text = everything_used()
    assert f"# TYPE {PREFIX}{name} {kind}\n" in text
    families = text_string_to_metric_families(text)
    samples = [one for family in families for one in family.samples]
    plain = name.removesuffix("_total")  # the parser gives and takes this ending by itself
    plain += "_count" if kind == "histogram" else ""
    found = [one for one in samples if one.name.removesuffix("_total") == f"{PREFIX}{plain}"]
    assert [one.labels for one in found] == [labels]


def test_what_was_never_used_is_not_there() -> None:
    text = f"{Metrics().render(0.0)}{Counts().render()}"
    assert text == ""
