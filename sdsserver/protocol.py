# SPDX-License-Identifier: Apache-2.0
"""One SDS stream's state: which names it watches, and which a request is answered with. Pure.

The peer's rules, on which Envoy depends: one watch per stream, a later request's names replace it;
an answer to a known nonce carries only the names that were added; a refusal is never answered.
Source: spec/agent.md 7.2, appendix L. Peer: sdsservice.go, xds.ShouldRespond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wire.types import HEALTH


class Request(NamedTuple):
    """What matters of a DiscoveryRequest."""

    node_id: str
    names: tuple[str, ...]
    nonce: str
    refused: str = ""
    """The client's error text, when it rejected the last response."""
    type_url: str = ""


class MissingNode(Exception):
    """The first request says not who asks."""


@dataclass(slots=True)
class Counts:
    """What the streams of one server met; shared by them."""

    rejects: int = 0
    expired_nonces: int = 0


@dataclass(slots=True)
class Watch:
    """Decides; generating and sending are the stream's."""

    counts: Counts = field(default_factory=Counts)
    names: tuple[str, ...] = ()
    nonce: str = ""
    _known: bool = False
    _watching: bool = False

    def on_request(self, request: Request) -> Sequence[str]:
        """The names to answer with now; empty for no answer. Raises MissingNode."""
        if not self._known:
            if request.type_url == HEALTH:  # health reports may come before the node is known
                return ()
            if not request.node_id:
                raise MissingNode
            self._known = True
        if request.refused:
            self.counts.rejects += 1
            return ()
        if not request.names:
            self.names, self._watching = (), False
            return ()
        if not request.nonce or not self._watching:
            self.names, self._watching = request.names, True
            return request.names
        if request.nonce != self.nonce:  # answers an older response: the newer answer counts
            self.counts.expired_nonces += 1
            return ()
        added = [name for name in request.names if name not in self.names]
        self.names = request.names
        return added

    def on_update(self, name: str) -> bool:
        """Whether an update of ``name`` concerns this stream."""
        return name in self.names

    def sent(self, nonce: str) -> None:
        """A response with this nonce is on its way."""
        self.nonce = nonce
