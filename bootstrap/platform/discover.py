# SPDX-License-Identifier: Apache-2.0
"""Asks the clouds side by side; the first that knows this machine wins. Threads: the author imports meanwhile.

The threads are daemons: one that still waits on a silent address when the deadline passes dies with
the child. ``with_platform`` is the pure half: what was found goes into the metadata by the peer's rules.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from bootstrap.inputs import BootstrapInputs
from bootstrap.platform import aws, azure, gcp
from bootstrap.platform.fetch import fetch
from bootstrap.platform.found import Fetch, Found

_RESOLV_CONF = "/etc/resolv.conf"
Probe = Callable[[], Found | None]


class Discovery:
    """Started early, asked late."""

    def __init__(self, probes: Mapping[str, Probe], *, timeout: float) -> None:
        self._answers: queue.SimpleQueue[Found | None] = queue.SimpleQueue()
        self._waiting = len(probes)
        self._deadline = time.monotonic() + timeout
        for name, probe in probes.items():
            threading.Thread(target=self._ask, args=(probe,), name=name, daemon=True).start()

    def _ask(self, probe: Probe) -> None:
        found = None
        try:
            found = probe()
        finally:
            self._answers.put(found)

    def result(self) -> Found | None:
        """The first platform that answered, or None when none did in time."""
        while self._waiting:
            left = self._deadline - time.monotonic()
            try:
                found = self._answers.get(timeout=max(0.0, left))
            except queue.Empty:
                return None
            self._waiting -= 1
            if found is not None:
                return found
        return None


def start(inputs: BootstrapInputs) -> Discovery:
    """Probes as CLOUD_PLATFORM says: the one it names, or all of them."""
    probes = probes_for(inputs, fetch)
    named = {name: probe for name, probe in probes.items() if name == inputs.platform.cloud}
    return Discovery(named or probes, timeout=inputs.platform.timeout)


def probes_for(inputs: BootstrapInputs, ask: Fetch) -> dict[str, Probe]:
    """One question per cloud."""
    options = inputs.platform
    addresses = [ip_address(text) for text in inputs.instance_ips if _is_address(text)]
    ipv6 = bool(addresses) and all(address.version == 6 for address in addresses)
    kubernetes = options.is_kubernetes
    return {
        "gcp": lambda: gcp.discover(ask, options, resolv_conf=_text(_RESOLV_CONF)),
        "aws": lambda: aws.discover(ask, ipv6=ipv6, is_kubernetes=kubernetes),
        "azure": lambda: azure.discover(
            ask, vendor=_text(azure.VENDOR_FILE), is_kubernetes=kubernetes
        ),
    }


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def with_platform(inputs: BootstrapInputs, found: Found | None) -> BootstrapInputs:
    """Metadata, and the locality where no label says one; instance labels off Kubernetes only."""
    if found is None:
        return inputs
    metadata: dict[str, Any] = dict(inputs.metadata)
    if found.metadata:
        metadata["PLATFORM_METADATA"] = dict(found.metadata)
    if found.labels and not found.is_kubernetes:
        metadata["STATIC_LABELS"] = {**metadata.get("STATIC_LABELS", {}), **found.labels}
        if "LABELS" in metadata:
            metadata["LABELS"] = {**found.labels, **metadata["LABELS"]}
    changed = replace(inputs, metadata=metadata)
    if inputs.region or inputs.zone or inputs.sub_zone:
        return changed
    return replace(changed, region=found.region, zone=found.zone)
