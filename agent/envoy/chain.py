# SPDX-License-Identifier: Apache-2.0
"""A chain of Envoys that hand over to each other: the words each is started with, and what they share. Pure.

An epoch is a place in the chain; the base id is the chain's number, which Envoy makes up and which keeps several chains
of one machine apart. Source: Envoy's "hot restart" and command line pages; ADR 0013.
"""

from __future__ import annotations

from agent.envoy.options import HotRestartOptions

KNOWN_LAYOUT = "11.104"
"""``--hot-restart-version`` whose shared memory we know: protocol, then size in bytes."""
FLAGS_AT = 96
"""Offset in it: eight bytes, one bit is set while an epoch initialises. Two 40-byte mutexes and two numbers before."""
FLAGS_SIZE = 8


def first(options: HotRestartOptions, base_id_file: str) -> list[str]:
    """For the first Envoy of a chain."""
    return [*_shared(options, 0), "--use-dynamic-base-id", "--base-id-path", base_id_file]


def following(options: HotRestartOptions, epoch: int, base_id: int) -> list[str]:
    """For each after it."""
    return [*_shared(options, epoch), "--base-id", str(base_id)]


def _shared(options: HotRestartOptions, epoch: int) -> list[str]:
    # no abstract socket: in a pod those are open to the application's processes, too
    return [
        *("--restart-epoch", str(epoch)),
        *("--parent-shutdown-time-s", str(round(options.parent_shutdown))),
        *("--socket-path", options.socket, "--socket-mode", "600"),
    ]


def shared_memory(base_id: int) -> str:
    """Path of what the epochs share. Envoy multiplies the number by ten."""
    return f"/dev/shm/envoy_shared_memory_{base_id * 10}"  # noqa: S108  Envoy's place, not ours


def refusal(present: str, wanted: str) -> str:
    """Why an Envoy of hot restart version ``wanted`` cannot follow one of ``present``; empty: it can."""
    if present == wanted:
        return ""
    return f"hot restart versions differ: the running one has {present}, the new one {wanted}"
