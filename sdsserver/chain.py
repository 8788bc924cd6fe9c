# SPDX-License-Identifier: Apache-2.0
"""Where a path leads through symbolic links, and which directories to watch so that no change is missed.

Kubernetes swaps ``..data``, CSI drivers chain links: each directory that holds a link of the chain, or
the file itself, can change what the path means. Source: spec/agent.md 7.8.
"""

from __future__ import annotations

import os

LONGEST = 40
"""Links in one path, as the kernel has it (path_resolution(7))."""

SYSTEM_LINKS = frozenset({"/var", "/tmp", "/usr"})  # noqa: S108  names, nothing is written there
"""Links of the distribution: never what a rotation changes."""


def find_link(path: str) -> str:
    """The link closest to the leaf of ``path``, as a path; empty when no component is one."""
    current = os.path.abspath(path)
    while current != os.path.dirname(current):
        if os.path.islink(current) and current not in SYSTEM_LINKS:
            return current
        current = os.path.dirname(current)
    return ""


def link_target(link: str) -> str:
    """Where one link points, whether or not anything is there. Raises OSError when it is not a link."""
    return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))


def directories(path: str) -> tuple[str, ...]:
    """The directories in which a change may give ``path`` another content, nearest last; existing ones only."""
    found: dict[str, None] = {}
    pending = [part for part in os.path.abspath(path).split("/") if part]
    current, links = "/", 0
    while pending:
        parent, current = current, os.path.join(current, pending.pop(0))
        if os.path.islink(current) and links < LONGEST:
            links += 1
            if current not in SYSTEM_LINKS:
                found[parent] = None
            target = os.readlink(current)
            pending = [part for part in target.split("/") if part not in {"", "."}] + pending
            current = "/" if target.startswith("/") else parent
        elif os.path.basename(current) == "..":
            current = os.path.dirname(parent)
        elif not pending or not os.path.isdir(current):
            found[_existing(parent)] = None
            break
    return tuple(found)


def _existing(directory: str) -> str:
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory
