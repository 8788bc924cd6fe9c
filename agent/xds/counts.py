# SPDX-License-Identifier: Apache-2.0
"""What the xDS part counts, and how it is told: metrics under the peer's names (spec/agent.md 11.1), status. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from wire.h2.grpc import Code, Status
from wire.scan import peek_version
from wire.types import TypeUrl, short_name

CONTROL_PLANE = "control plane"
STORE = "store"
HEAD = 128
"""Bytes of a response's beginning that are remembered."""


class Ending(StrEnum):
    """How a stream ended, in the peer's two words (4.7)."""

    CANCELLED = "cancelled"
    ERROR = "error"


def ending_of(status: Status) -> Ending:
    """Expected ends are cancellations and deadlines; the rest an operator may want to see."""
    if status.code in {Code.OK, Code.CANCELLED, Code.DEADLINE_EXCEEDED}:
        return Ending.CANCELLED
    gone = "lost: closed by the peer" in status.message or "lost: drained" in status.message
    return Ending.CANCELLED if status.code is Code.UNAVAILABLE and gone else Ending.ERROR


@dataclass(slots=True)
class PushCount:
    """Responses of one type."""

    responses: int = 0
    size: int = 0
    """Bytes of the last one."""
    at: float = 0.0
    """Wall clock of the last one, seconds."""
    head: bytes = b""
    """Its first bytes: the version stands there, and is read when somebody wants to see it."""
    source: str = CONTROL_PLANE
    """Where it came from."""
    acknowledged: int = 0
    refused: int = 0
    last_error: str = ""
    refused_at: float = 0.0

    def note(self, size: int, now: float, head: bytes, source: str) -> None:
        """One more response."""
        self.responses += 1
        self.size = size
        self.at = now
        self.head = head
        self.source = source


@dataclass(slots=True)
class Counts:
    """All counters of the part; each appears in the metrics after its first use."""

    requests: int = 0
    responses: int = 0
    largest_request: int = 0
    failures: int = 0
    from_store: int = 0
    """Responses that came from the store."""
    upstream_ends: dict[Ending, int] = field(default_factory=dict)
    envoy_ends: dict[Ending, int] = field(default_factory=dict)
    pushes: dict[TypeUrl, PushCount] = field(default_factory=dict)

    def push(self, type_url: TypeUrl) -> PushCount:
        return self.pushes.setdefault(type_url, PushCount())

    def on_response(self, type_url: TypeUrl, size: int, now: float, head: bytes = b"") -> None:
        """The control plane sent one."""
        self.responses += 1
        self.push(type_url).note(size, now, head, CONTROL_PLANE)

    def on_stored(self, type_url: TypeUrl, message: bytes, now: float) -> None:
        """The store answered."""
        self.from_store += 1
        self.push(type_url).note(len(message), now, message[:HEAD], STORE)

    def render(self) -> str:
        """Prometheus text."""
        lines: list[str] = []
        for name, value in (
            ("istio_agent_xds_proxy_requests", self.requests),
            ("istio_agent_xds_proxy_responses", self.responses),
            ("istio_agent_istiod_connection_failures", self.failures),
            ("pilothouse_xds_store_responses_total", self.from_store),
        ):
            if value:
                lines += [f"# TYPE {name} counter", f"{name} {value}"]
        for name, ends in (
            ("istio_agent_istiod_connection_terminations", self.upstream_ends),
            ("istio_agent_envoy_connection_terminations", self.envoy_ends),
        ):
            if ends:
                lines.append(f"# TYPE {name} counter")
                lines += [
                    f'{name}{{type="{kind}"}} {count}' for kind, count in sorted(ends.items())
                ]
        if self.largest_request:
            name = "istio_agent_pilot_xds_recv_max"
            lines += [f"# TYPE {name} gauge", f"{name} {self.largest_request}"]
        return "".join(f"{line}\n" for line in lines)

    def status(self) -> dict[str, dict[str, object]]:
        """For the admin endpoint: each type's last push and last refusal."""
        return {
            short_name(type_url): {
                "responses": push.responses,
                "bytes": push.size,
                "at": push.at,
                "version": peek_version(push.head),
                "source": push.source,
                "acknowledged": push.acknowledged,
                "refused": push.refused,
                "lastError": push.last_error,
                "refusedAt": push.refused_at,
            }
            for type_url, push in sorted(self.pushes.items())
        }


def count(ends: dict[Ending, int], status: Status) -> Ending:
    """One more end. Gives its kind."""
    kind = ending_of(status)
    ends[kind] = ends.get(kind, 0) + 1
    return kind
