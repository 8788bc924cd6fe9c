# SPDX-License-Identifier: Apache-2.0
"""What one stream watches of one type, and what a request about it calls for. Pure.

Source: spec/upstream.md 2.6, 2.8, 17.1; the xDS protocol, "Subscribing to Resources".
One state for both variants of the protocol; they differ in how a request changes the names. Answers are values:

    Answer(names=None)        everything that is watched
    Answer(names={a, b})      only what was newly asked for
    Quiet(why)                nothing is sent
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from wire import types

CDS: str = types.CLUSTER
EDS: str = types.ENDPOINT
LDS: str = types.LISTENER
RDS: str = types.ROUTE
SDS: str = types.SECRET
ECDS: str = types.EXTENSION_CONFIG
NDS: str = types.NAME_TABLE
PCDS: str = types.PROXY_CONFIG
HEALTH: str = types.HEALTH

PUSH_ORDER = (CDS, EDS, LDS, RDS, SDS)
"""Sent in this order, others after: a route never names a cluster that was not delivered before."""
BY_NAME = frozenset({EDS, RDS, SDS, ECDS})
"""Types of which only named resources are sent; all others are wildcard."""
WARMED_BY = {CDS: EDS, LDS: RDS}
"""What must follow a push of the key type, unchanged or not, lest Envoy's new object warm for ever."""
WILDCARD = "*"


class Why(StrEnum):
    """Why a request is not answered."""

    ACK = "ack"
    NACK = "nack"
    STALE = "stale nonce"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing is sent."""

    why: Why


@dataclass(frozen=True, slots=True)
class Answer:
    """Resources are sent: those named, or all that are watched."""

    names: frozenset[str] | None = None


Verdict = Quiet | Answer


class Reply(NamedTuple):
    """What both kinds of request say of the response before: its nonce, and the error if it was refused."""

    nonce: str = ""
    error: str = ""
    code: int = 0

    @property
    def refused(self) -> bool:
        return bool(self.error or self.code)


def short(type_url: str) -> str:
    """The name in logs and metrics."""
    return types.SHORT.get(types.TypeUrl(type_url), type_url.removeprefix(types.PREFIX))


def is_wildcard(type_url: str) -> bool:
    """Whether an empty list of names means everything."""
    return type_url not in BY_NAME


def push_order(types: Iterable[str]) -> list[str]:
    """The types in the order in which they are sent."""
    rank = {type_url: place for place, type_url in enumerate(PUSH_ORDER)}
    return sorted(types, key=lambda type_url: (rank.get(type_url, len(rank)), type_url))


@dataclass(slots=True, kw_only=True)
class Watch:
    """The state of one type on one stream. ``sent`` is what the client has, by name and fingerprint."""

    type_url: str
    names: set[str] = field(default_factory=set)
    wildcard: bool = False
    sent: dict[str, int] = field(default_factory=dict)
    nonce_sent: str = ""
    nonce_acked: str = ""
    last_error: str = ""
    last_sent: float = 0.0
    must_answer: bool = False
    """The next request is answered even if it looks like an ACK: its answer ends a warming."""

    @property
    def wanted(self) -> frozenset[str] | None:
        """The names to generate; None for everything."""
        return None if self.wildcard else frozenset(self.names)


class Watches:
    """All types that one stream watches."""

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}

    def get(self, type_url: str) -> Watch | None:
        return self._watches.get(type_url)

    def in_order(self) -> list[Watch]:
        """Watches in push order."""
        return [self._watches[type_url] for type_url in push_order(self._watches)]

    def on_sotw(self, type_url: str, names: Iterable[str], reply: Reply) -> Verdict:
        """A DiscoveryRequest: its names replace those before."""
        watch = self._watches.get(type_url)
        if reply.refused:
            return self._refused(watch, reply)
        asked = set(names)
        wildcard = is_wildcard(type_url)
        if not asked and not wildcard:
            self._watches.pop(type_url, None)
            return Quiet(Why.UNSUBSCRIBED)
        if watch is None or not reply.nonce:
            self._begin(type_url, asked, wildcard=wildcard)
            return Answer()
        if reply.nonce != watch.nonce_sent:
            return Quiet(Why.STALE)
        return self._accepted_sotw(watch, asked, reply)

    def on_delta(
        self,
        type_url: str,
        subscribe: Iterable[str],
        unsubscribe: Iterable[str],
        held: Mapping[str, str],
        reply: Reply,
    ) -> Verdict:
        """A DeltaDiscoveryRequest: its names are added and removed. ``held`` are initial_resource_versions."""
        watch = self._watches.get(type_url)
        if reply.refused:
            return self._refused(watch, reply)
        added, gone = set(subscribe), set(unsubscribe)
        if watch is None:
            # Wildcard by name, or by saying nothing for a type that allows it.
            wildcard = WILDCARD in added or (not added and is_wildcard(type_url))
            self._begin(type_url, (added | set(held)) - {WILDCARD} - gone, wildcard=wildcard)
            self._watches[type_url].sent = dict.fromkeys(held, UNKNOWN)
            return Answer()
        if reply.nonce and reply.nonce != watch.nonce_sent:
            return Quiet(Why.STALE)
        if reply.nonce:
            watch.last_error = ""
            watch.nonce_acked = reply.nonce
        return self._changed_delta(watch, added, gone)

    def must_answer(self, type_url: str) -> None:
        """Let the next request about this type be answered, whatever it looks like."""
        watch = self._watches.get(type_url)
        if watch is not None:
            watch.must_answer = True

    def _begin(self, type_url: str, names: set[str], *, wildcard: bool) -> None:
        self._watches[type_url] = Watch(type_url=type_url, names=names, wildcard=wildcard)
        if type_url in WARMED_BY:
            # On a reconnect Envoy may ask for endpoints before clusters; its next request then
            # looks like an ACK, but is what ends the warming of its clusters.
            self.must_answer(WARMED_BY[type_url])

    def _refused(self, watch: Watch | None, reply: Reply) -> Verdict:
        if watch is not None:
            watch.last_error = reply.error or f"code {reply.code}"
        return Quiet(Why.NACK)

    def _accepted_sotw(self, watch: Watch, asked: set[str], reply: Reply) -> Verdict:
        watch.last_error = ""
        watch.nonce_acked = reply.nonce
        added = asked - watch.names
        for name in watch.names - asked:
            watch.sent.pop(name, None)
        changed, watch.names = asked != watch.names, asked
        must_answer, watch.must_answer = watch.must_answer, False
        if must_answer:
            return Answer()
        if not changed or (not added and not watch.wildcard):
            return Quiet(Why.ACK)
        return Answer() if watch.wildcard else Answer(frozenset(added))

    def _changed_delta(self, watch: Watch, added: set[str], gone: set[str]) -> Verdict:
        must_answer, watch.must_answer = watch.must_answer, False
        if WILDCARD in added:
            # The star is not kept among the names, so asking again is a change: peer 17.1, item 6.
            watch.wildcard, must_answer = True, True
        if WILDCARD in gone:
            watch.wildcard = False
        # Names that are watched already are answered too: the client may have dropped them and
        # taken them up again within one request, and then waits for them.
        fresh = added - {WILDCARD}
        watch.names = (watch.names - gone) | fresh
        if not watch.wildcard:
            for name in gone - fresh:
                watch.sent.pop(name, None)
        if must_answer:
            return Answer()
        return Answer(frozenset(fresh)) if fresh else Quiet(Why.ACK)


UNKNOWN = -1
"""Fingerprint of a resource that the client holds in a state that we did not see."""
