# SPDX-License-Identifier: Apache-2.0
"""Envoy's command line. Pure. Source: spec/agent.md 3.1-3.3; peer: pkg/envoy/proxy.go, order included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

FLUSH_MILLISECONDS = 1000
"""How often access logs are flushed when ProxyConfig does not say."""
COLD = ("--disable-hot-restart",)
"""An Envoy that no other follows."""


class LogLevels(NamedTuple):
    """``--proxyLogLevel`` taken apart."""

    level: str
    components: str
    dropped: tuple[str, ...] = ()
    """Elements with more than one colon: ignored, one warning each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyArguments:
    """What shapes the command line, the bootstrap's path aside."""

    binary: str
    drain: float = 45.0
    """ProxyConfig drainDuration, seconds."""
    ipv6_only: bool = False
    """All addresses of the node are IPv6."""
    flush_interval: float | None = None
    """ProxyConfig fileFlushInterval, seconds."""
    flush_min_kb: int | None = None
    log_level: str = "warning"
    component_log_level: str = ""
    skip_deprecated_logs: bool = True
    core_dump: bool = False
    override: str = ""
    """The bootstrap override as compact JSON (``compact``); empty is none."""
    concurrency: int = 0
    """0 is all cores."""


def split_log_levels(text: str, components: str = "") -> LogLevels:
    """Level and component levels of ``text``; ``components`` is used as it is when there are none in it."""
    level, found, dropped = "", [], []
    for element in text.split(","):
        match element.count(":"):
            case 0:
                level = element
            case 1:
                found.append(element)
            case _:
                dropped.append(element)
    return LogLevels(level, ",".join(found) or components, tuple(dropped))


def command_line(
    arguments: EnvoyArguments, bootstrap: str, *, hot_restart: Sequence[str] = COLD
) -> list[str]:
    """The program and its arguments, in the peer's order; ``hot_restart`` stands where the peer forbids one."""
    given = arguments
    milliseconds = FLUSH_MILLISECONDS
    if given.flush_interval is not None:
        milliseconds = int(given.flush_interval * 1000)
    line = [given.binary, "-c", bootstrap]
    line += ["--drain-time-s", str(int(given.drain)), "--drain-strategy", "immediate"]
    line += ["--local-address-ip-version", "v6" if given.ipv6_only else "v4"]
    line += ["--file-flush-interval-msec", str(milliseconds)]
    line += [*hot_restart, "--allow-unknown-static-fields"]
    if given.flush_min_kb:
        line += ["--file-flush-min-size-kb", str(given.flush_min_kb)]
    if given.log_level:
        line += ["-l", given.log_level]
    if given.component_log_level:
        line += ["--component-log-level", given.component_log_level]
    if given.skip_deprecated_logs:
        line.append("--skip-deprecated-logs")
    if given.core_dump:
        line.append("--enable-core-dump")
    if given.override:
        line += ["--config-yaml", given.override]
    if given.concurrency > 0:
        line += ["--concurrency", str(given.concurrency)]
    return line


def with_host_ip(text: str, host_ip: str) -> str:
    """``$(HOST_IP)`` filled in; an IPv6 address gets brackets, and none twice."""
    if ":" not in host_ip:
        return text.replace("$(HOST_IP)", host_ip)
    bracketed = f"[{host_ip}]"
    return text.replace("[$(HOST_IP)]", bracketed).replace("$(HOST_IP)", bracketed)


def compact(value: object) -> str:
    """JSON without spaces, keys sorted, as Envoy gets it inline."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
