# SPDX-License-Identifier: Apache-2.0
"""No core dump of a process that holds keys, while Envoy's own dumps stay as they were. Effects only.

A soft limit of 1 byte, as core(5) and the kernel have it: below the smallest dump to a file, and the one limit that
counts for dumps into a program too, where 0 does not. It costs no memory, and a debugger may still look. Children
inherit it, which is right for those that make keys; Envoy is given back what the agent had. ADR 0015.
"""

from __future__ import annotations

import resource

import mesh.log

REFUSED = 1
"""Bytes."""

Limits = tuple[int, int]
"""Soft and hard, in bytes."""

log = mesh.log.get()


def refuse() -> Limits:
    """No dump of this process from now on; the limits that it had."""
    former = resource.getrlimit(resource.RLIMIT_CORE)
    soft, hard = former
    if hard == 0:  # nothing can be written to a file; a program that takes dumps cannot be kept off
        return former
    if soft != REFUSED:
        resource.setrlimit(resource.RLIMIT_CORE, (REFUSED, hard))
    return former


def give_back(pid: int, limits: Limits) -> None:
    """The child ``pid`` may dump as its parent might have."""
    try:
        resource.prlimit(pid, resource.RLIMIT_CORE, limits)
    except (OSError, ValueError) as error:
        log.warning("core limit not given back", pid=pid, why=str(error))
