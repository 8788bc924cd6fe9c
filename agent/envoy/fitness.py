# SPDX-License-Identifier: Apache-2.0
"""Whether a new Envoy, waiting at its gate, would serve what the present one serves. Pure: reads what both say.

Only what an epoch knows for itself is compared: counters come over from the parent during a hot restart, listeners,
clusters and what an Envoy waits for do not. Source: Envoy's admin pages /listeners, /init_dump, /stats.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agent.envoy import stats

LISTENERS = "/listeners?format=json"
WAITING = "/init_dump"
CLUSTERS = r"/stats?filter=^cluster_manager\.active_clusters$"
SERVER = "/server_info"
_ACTIVE = "cluster_manager.active_clusters"


class Seen(NamedTuple):
    """What one Envoy said of itself."""

    state: str
    epoch: int
    listeners: frozenset[str]
    clusters: int
    waiting: tuple[str, ...]
    """What it must have before it is initialised."""


def seen(*, server: str, listeners: str, clusters: str, waiting: str) -> Seen:
    """From the four pages. Raises ValueError for what cannot be read."""
    try:
        info = json.loads(server)
        names = json.loads(listeners or "{}").get("listener_statuses", [])
        return Seen(
            state=info["state"],
            epoch=int(info["command_line_options"].get("restart_epoch", 0)),
            listeners=frozenset(each["name"] for each in names),
            clusters=stats.values(clusters, (_ACTIVE,)).get(_ACTIVE, 0),
            waiting=_targets(json.loads(waiting or "{}")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected answer of envoy: {error!r}") from None


def _targets(dump: dict[str, Any]) -> tuple[str, ...]:
    managers = dump.get("unready_targets_dumps", [])
    return tuple(name for each in managers for name in each.get("target_names", []))


def fault(new: Seen, present: Seen, gate: str) -> str:
    """Why ``new`` must not take over from ``present`` now; empty: it may, and waits only at its gate."""
    if new.state != "INITIALIZING":
        return f"it is {new.state.lower().replace('_', ' ')}"
    at_gate = [name for name in new.waiting if name.endswith(gate)]
    others = [name for name in new.waiting if not name.endswith(gate)]
    if others:
        return f"it waits for {others[0]}"
    if not at_gate:
        return "it has not come to its gate"
    missing = sorted(present.listeners - new.listeners)
    if missing:
        return f"it has no listener {missing[0]}, which the present one has"
    if new.clusters < present.clusters:
        return f"it has {new.clusters} clusters, the present one {present.clusters}"
    return ""
