# SPDX-License-Identifier: Apache-2.0
"""Envoy's branches of the settings tree: variables and ProxyConfig in, options out. Pure; reads nothing.

Source: spec/agent.md 1.7, 1.9, 3; what is ours starts with PILOT_ and is off unless asked for (DESIGN 4.8).
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.environment import Environment
from agent.envoy.command import EnvoyArguments, compact, split_log_levels, with_host_ip
from agent.envoy.options import AdminOptions, HotRestartOptions, ProcessOptions
from agent.shutdown import LifecycleOptions
from mesh import paths, ports
from mesh.cgroup import concurrency, heap_limit
from mesh.compliance import POLICIES
from mesh.errors import BadSetting
from mesh.proxyconfig import ProxyConfig
from mesh.proxyfields import parse_text

LOG_WRITERS = ("envoy", "agent")
PARENT_MARGIN = 15.0
"""Seconds that an old Envoy stays after its drain time, unless said otherwise."""


def process_branch(env: Environment, uid: int) -> ProcessOptions:
    """Envoy's environment, user and log."""
    environment = dict(env.variables)
    policy = POLICIES.get(env.text("COMPLIANCE_POLICY"))
    if policy is not None and policy.ciphers:
        environment["GRPC_SSL_CIPHER_SUITES"] = policy.ciphers
    drops = uid == 0 and env.text("DNS_PROXY_ADDR", "localhost:15053").endswith(":53")
    return ProcessOptions(
        environment=environment,
        uid=ports.PROXY_UID if drops else None,
        one_log=env.choice("PILOT_ENVOY_LOG", "envoy", LOG_WRITERS) == "agent",
    )


def admin_branch(
    env: Environment, config: ProxyConfig, kind: str, instance_ips: Sequence[str]
) -> AdminOptions:
    """Where Envoy is asked, and which listeners do not count as traffic."""
    own = (
        config.status_port,
        env.port("ENVOY_PROMETHEUS_PORT", ports.ENVOY_PROMETHEUS),
        env.port("ENVOY_STATUS_PORT", ports.ENVOY_STATUS),
        env.port("ENVOY_SECURE_METRICS_PORT", 0),
        env.port("ENVOY_SECURE_MERGED_METRICS_PORT", 0),
    )
    return AdminOptions(
        port=config.proxy_admin_port,
        host="::1" if _ipv6_only(instance_ips) else "127.0.0.1",
        inbound_only=kind == "sidecar",
        own_ports=tuple(port for port in own if port),
    )


def lifecycle_branch(env: Environment, config: ProxyConfig) -> LifecycleOptions:
    """How long an end may take, and how often Envoy may die."""
    return LifecycleOptions(
        termination_drain=config.termination_drain_duration,
        minimum_drain=env.duration("MINIMUM_DRAIN_DURATION", 5.0),
        exit_on_zero_connections=env.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", default=False),
        drain_delay=env.span("PILOT_DRAIN_DELAY", 0.0),
        drain_jitter=env.span("PILOT_DRAIN_JITTER", 0.0),
        deadline=env.span("PILOT_SHUTDOWN_DEADLINE", 0.0),
        restarts=env.count("PILOT_ENVOY_RESTARTS", 0),
        restart_window=env.span("PILOT_ENVOY_RESTART_WINDOW", 600.0),
        restart_backoff=env.span("PILOT_ENVOY_RESTART_BACKOFF", 1.0),
    )


def hot_restart_branch(env: Environment, config: ProxyConfig) -> HotRestartOptions:
    """Whether and how one Envoy can hand over to another."""
    directory = config.config_path
    shutdown = config.drain_duration + PARENT_MARGIN
    return HotRestartOptions(
        enabled=env.flag("PILOT_HOT_RESTART", default=False),
        socket=f"{directory}/{paths.HOT_RESTART_SOCKET_NAME}",
        parent_shutdown=env.span("PILOT_HOT_RESTART_PARENT_SHUTDOWN", shutdown),
        patience=env.span("PILOT_UPGRADE_TIMEOUT", 60.0),
        xds_socket=f"{directory}/{paths.XDS_SOCKET_NAME}",
        admin_socket=f"{directory}/{paths.REHEARSAL_ADMIN_NAME}",
    )


def arguments_branch(
    env: Environment,
    config: ProxyConfig,
    instance_ips: Sequence[str],
    *,
    log_levels: tuple[str, str],
    override_text: str | None,
    cpus: float | None,
    cores: int,
) -> EnvoyArguments:
    """Envoy's command line. ``log_levels`` are the two flags as they were given."""
    levels = split_log_levels(*log_levels)
    for element in levels.dropped:
        why = "more than one colon"
        env.tolerated.append(
            BadSetting("--proxyLogLevel", element, why, hint="the element is left out")
        )
    return EnvoyArguments(
        binary=config.binary_path,
        drain=config.drain_duration,
        ipv6_only=_ipv6_only(instance_ips),
        flush_interval=config.file_flush_interval,
        flush_min_kb=config.file_flush_min_size_kb,
        log_level=levels.level,
        component_log_level=levels.components,
        skip_deprecated_logs=env.flag("ENVOY_SKIP_DEPRECATED_LOGS", default=True),
        core_dump=env.flag("ISTIO_ENVOY_ENABLE_CORE_DUMP", default=False),
        override=_override(env, override_text),
        concurrency=_concurrency(env, config, cpus, cores),
    )


def heap_branch(env: Environment, memory: int | None) -> int:
    """Bytes of heap at which Envoy begins to protect itself; 0: never."""
    if not env.flag("PILOT_OVERLOAD_MANAGER", default=False):
        return 0
    if memory is None:
        why = "this control group has no memory limit"
        hint = "set a memory limit of the container; no overload manager until then"
        env.tolerated.append(BadSetting("PILOT_OVERLOAD_MANAGER", "true", why, hint=hint))
        return 0
    return heap_limit(memory)


def _concurrency(env: Environment, config: ProxyConfig, cpus: float | None, cores: int) -> int:
    """What was configured, else what the control group allows; the peer knows only the former."""
    if config.concurrency is not None:
        return config.concurrency
    ours = not env.strict
    if not env.flag("PILOT_CGROUP_CONCURRENCY", default=ours):
        return 0
    return concurrency(cpus, cores)


def _override(env: Environment, text: str | None) -> str:
    name = env.text("ISTIO_BOOTSTRAP_OVERRIDE")
    if not name:
        return ""
    hint = "the override is left out"
    if text is None:
        why = "the file cannot be read"
        env.tolerated.append(BadSetting("ISTIO_BOOTSTRAP_OVERRIDE", name, why, hint=hint))
        return ""
    try:
        return compact(parse_text(with_host_ip(text, env.text("HOST_IP")), name))
    except BadSetting as fault:
        env.tolerated.append(BadSetting("ISTIO_BOOTSTRAP_OVERRIDE", name, fault.why, hint=hint))
        return ""


def _ipv6_only(instance_ips: Sequence[str]) -> bool:
    return all(":" in each for each in instance_ips)
