# SPDX-License-Identifier: Apache-2.0
"""Counters of the secret part and their text. Pure. Names are the peer's; ours start with ``pilothouse_``.

Source: spec/agent.md 7.10, 11.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sdsserver.protocol import Counts

_SDS = '{type="sds"}'
_CSR = '{request_type="csr"}'

Row = tuple[str, str, str, float]
"""Family, its type, labels, value."""

BOUNDS = (0.01, 0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
"""The peer's buckets of seconds for one send."""


@dataclass(slots=True)
class SendTimes:
    """How long clients take to read a secret."""

    counts: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))
    """By bucket, each with those below it."""
    total: float = 0.0
    number: int = 0

    def add(self, seconds: float) -> None:
        """One send."""
        self.total += seconds
        self.number += 1
        for index, bound in enumerate(BOUNDS):
            self.counts[index] += seconds <= bound

    def render(self) -> str:
        """The histogram; nothing before the first send."""
        if not self.number:
            return ""
        name = "istio_agent_pilot_xds_send_time"
        pairs = zip(BOUNDS, self.counts, strict=True)
        rows = [f'{name}_bucket{{le="{bound:g}"}} {count}\n' for bound, count in pairs]
        rows.append(f'{name}_bucket{{le="+Inf"}} {self.number}\n')
        rows.append(f"{name}_sum {self.total:.17g}\n{name}_count {self.number}\n")
        return f"# TYPE {name} histogram\n" + "".join(rows)


@dataclass(slots=True)
class Metrics:
    """Written by the parts, read at a scrape."""

    requests: int = 0
    failed_requests: int = 0
    retries: int = 0
    latency_ms: float = 0.0
    """Sum over all requests."""
    file_secret_failures: int = 0
    file_watcher_failures: int = 0
    files_refused: int = 0
    """Changes of secret files that were not served as they were: half-written, no pair, out of time."""
    files_unusable: int | None = None
    """Names whose files hold something now that is not served; None where none is served from files."""
    file_expiry: dict[str, float] = field(default_factory=dict)
    """NotAfter of each certificate that files brought, by name."""
    internal_errors: int = 0
    write_timeouts: int = 0
    streams: Counts = field(default_factory=Counts)
    expiry: float | None = None
    """NotAfter of the workload's certificate."""
    shown_expiry: float | None = None
    """NotAfter of the certificate that Envoy showed in a handshake."""
    differs: bool | None = None
    """Whether that is another one than it was given; None where Envoy showed none."""
    sends: SendTimes = field(default_factory=SendTimes)

    def render(self, now: float) -> str:
        """Prometheus text; as in the peer's, a counter appears with its first count."""
        rows: list[Row] = [
            ("istio_agent_num_outgoing_requests", "counter", _CSR, self.requests),
            ("istio_agent_num_failed_outgoing_requests", "counter", _CSR, self.failed_requests),
            ("istio_agent_num_outgoing_retries", "counter", _CSR, self.retries),
            ("istio_agent_outgoing_latency", "counter", _CSR, self.latency_ms),
            (
                "istio_agent_num_file_secret_failures_total",
                "counter",
                "",
                self.file_secret_failures,
            ),
            (
                "istio_agent_num_file_watcher_failures_total",
                "counter",
                "",
                self.file_watcher_failures,
            ),
            ("istio_agent_pilot_xds_write_timeout", "counter", "", self.write_timeouts),
            ("istio_agent_pilot_total_xds_internal_errors", "counter", "", self.internal_errors),
            ("istio_agent_pilot_total_xds_rejects", "counter", _SDS, self.streams.rejects),
            ("istio_agent_pilot_xds_expired_nonce", "counter", _SDS, self.streams.expired_nonces),
        ]
        if self.expiry is not None:
            label = '{resource_name="default"}'
            rows.append(("istio_agent_cert_expiry_seconds", "gauge", label, self.expiry - now))
        served = self.expiry if self.shown_expiry is None else self.shown_expiry
        if served is not None:
            name = "pilothouse_served_cert_expiry_seconds"
            rows.append((name, "gauge", "", served - now))
        if self.differs is not None:
            rows.append(("pilothouse_served_cert_differs", "gauge", "", self.differs))
        rows += self._files(now)
        return _text(rows) + self.sends.render()

    def _files(self, now: float) -> list[Row]:
        """What files brought; nothing where none did."""
        rows: list[Row] = [
            ("pilothouse_secret_files_refused_total", "counter", "", self.files_refused)
        ]
        if self.files_unusable is not None:
            rows.append(("pilothouse_secret_files_unusable", "gauge", "", self.files_unusable))
        name = "pilothouse_file_cert_expiry_seconds"
        for resource, dies in self.file_expiry.items():
            rows.append((name, "gauge", f'{{resource_name="{_quoted(resource)}"}}', dies - now))
        return rows


def _text(rows: Iterable[Row]) -> str:
    """Each family's type once, before its first row."""
    lines, last = [], ""
    for name, kind, labels, value in rows:
        if not value and kind != "gauge":
            continue
        if name != last:
            lines.append(f"# TYPE {name} {kind}\n")
            last = name
        lines.append(f"{name}{labels} {value:.17g}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
