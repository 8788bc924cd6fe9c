# SPDX-License-Identifier: Apache-2.0
"""Whether Envoy can take traffic: two questions, each asked until its first good answer. Pure.

First the configuration (CDS and LDS accepted once), then life (LIVE, workers running). A good answer is
latched for ever: that Envoy died is found out by the kubelet, whose probe goes through Envoy.
Peer: status/ready/probe.go; spec/agent.md 9.2, Appendix C (the texts are the peer's, word for word).
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import NamedTuple, assert_never

from agent.envoy import stats

_CDS_OK = "cluster_manager.cds.update_success"
_CDS_BAD = "cluster_manager.cds.update_rejected"
_LDS_OK = "listener_manager.lds.update_success"
_LDS_BAD = "listener_manager.lds.update_rejected"
_STATE = "server.state"
_WORKERS = "listener_manager.workers_started"


class Query(NamedTuple):
    """A request to Envoy's admin port."""

    target: str
    timeout: float


CONFIG_QUERY = Query(
    r"/stats?usedonly&filter=^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$",
    1.0,
)
LIVE_QUERY = Query(
    r"/stats?usedonly&filter=^(server\.state|listener_manager\.workers_started)", 3.0
)


class ServerState(IntEnum):
    """Envoy's ``server.state``."""

    LIVE = 0
    DRAINING = 1
    PRE_INITIALIZING = 2
    INITIALIZING = 3


class Stage(Enum):
    """Which question is open."""

    CONFIG = auto()
    LIVE = auto()
    READY = auto()


class EnvoyProbe:
    """The two questions of one Envoy.

    while (query := probe.query()) is not None:
        if fault := probe.on_stats(ask(query)):
            return fault
    """

    def __init__(self) -> None:
        self.stage = Stage.CONFIG

    def query(self) -> Query | None:
        """What to ask next; None: Envoy is ready and will be."""
        match self.stage:
            case Stage.CONFIG:
                return CONFIG_QUERY
            case Stage.LIVE:
                return LIVE_QUERY
            case Stage.READY:
                return None
            case _:
                assert_never(self.stage)

    def on_stats(self, text: str, *, terminated: str = "") -> str:
        """Why Envoy is not ready, by this answer; empty: the question is settled.

        ``terminated`` is the cause of the agent's own end, once that has begun.
        """
        try:
            fault = config_fault(text) if self.stage is Stage.CONFIG else live_fault(text)
        except ValueError as error:
            return str(error)
        if self.stage is Stage.LIVE and terminated:
            return f"server is terminated: {terminated}"
        if not fault:
            self.stage = Stage.LIVE if self.stage is Stage.CONFIG else Stage.READY
        return fault


def config_fault(text: str) -> str:
    """What is missing of Envoy's configuration. Raises ValueError for statistics that cannot be read."""
    found = stats.values(text, (_CDS_OK, _CDS_BAD, _LDS_OK, _LDS_BAD))
    cds, cds_bad, lds, lds_bad = (found.get(k, 0) for k in (_CDS_OK, _CDS_BAD, _LDS_OK, _LDS_BAD))
    if cds and lds:
        return ""
    said = (
        f"cds updates: {cds} successful, {cds_bad} rejected; "
        f"lds updates: {lds} successful, {lds_bad} rejected"
    )
    if not cds and not lds:
        return f"config not received from XDS server (is Istiod running?): {said}"
    if cds_bad or lds_bad:
        return f"config received from XDS server, but was rejected: {said}"
    return f"config not fully received from XDS server: {said}"


def live_fault(text: str) -> str:
    """What keeps Envoy from being live. Raises ValueError for statistics that cannot be read."""
    found = stats.values(text, (_STATE, _WORKERS))
    if _STATE not in found:
        return f"failed to get ready stats: {_STATE} is missing"
    if _WORKERS not in found:
        return f"failed to get ready stats: {_WORKERS} is missing"
    if found[_STATE] != ServerState.LIVE:
        return f"server is not live, current state is: {_state_name(found[_STATE])}"
    if found[_WORKERS] != 1:
        return "workers have not yet started"
    return ""


def facts(config: str, life: str) -> dict[str, object]:
    """What the two answers say, for people. Raises ValueError for statistics that cannot be read."""
    found = stats.values(config, (_CDS_OK, _CDS_BAD, _LDS_OK, _LDS_BAD))
    alive = stats.values(life, (_STATE, _WORKERS))
    return {
        "cds": {"accepted": found.get(_CDS_OK, 0), "rejected": found.get(_CDS_BAD, 0)},
        "lds": {"accepted": found.get(_LDS_OK, 0), "rejected": found.get(_LDS_BAD, 0)},
        "state": _state_name(alive[_STATE]) if _STATE in alive else "unknown",
        "workersStarted": alive.get(_WORKERS) == 1,
    }


def _state_name(value: int) -> str:
    try:
        return ServerState(value).name
    except ValueError:
        return str(value)
