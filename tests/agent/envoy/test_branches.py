# SPDX-License-Identifier: Apache-2.0
"""Envoy's branches: what each variable does, whose default holds."""

from __future__ import annotations

from typing import Any

import pytest

from agent.environment import Environment
from agent.envoy.branches import (
    admin_branch,
    arguments_branch,
    heap_branch,
    hot_restart_branch,
    lifecycle_branch,
    process_branch,
)
from agent.envoy.command import EnvoyArguments
from agent.envoy.options import ProcessOptions
from agent.shutdown import LifecycleOptions
from mesh.compliance import FIPS_CIPHERS
from mesh.proxyconfig import merge

CONFIG = merge()
V4 = ("10.0.0.1",)


def arguments(
    variables: dict[str, str] | None = None, **given: Any
) -> tuple[EnvoyArguments, Environment]:
    env = Environment(variables or {})
    config = given.pop("config", CONFIG)
    fields: dict[str, Any] = {
        "log_levels": ("warning", ""),
        "override_text": None,
        "cpus": None,
        "cores": 8,
        **given,
    }
    return arguments_branch(env, config, fields.pop("ips", V4), **fields), env


def test_the_peers_defaults_end_as_the_peer_ends() -> None:
    assert lifecycle_branch(Environment({}), CONFIG) == LifecycleOptions()


def test_everything_about_the_end() -> None:
    env = Environment(
        {
            "MINIMUM_DRAIN_DURATION": "7s",
            "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true",
            "PILOT_DRAIN_DELAY": "3s",
            "PILOT_DRAIN_JITTER": "500ms",
            "PILOT_SHUTDOWN_DEADLINE": "25s",
            "PILOT_ENVOY_RESTARTS": "4",
            "PILOT_ENVOY_RESTART_WINDOW": "1m",
            "PILOT_ENVOY_RESTART_BACKOFF": "2s",
        }
    )
    config = merge(environment="terminationDrainDuration: 9s")
    assert lifecycle_branch(env, config) == LifecycleOptions(
        termination_drain=9.0,
        minimum_drain=7.0,
        exit_on_zero_connections=True,
        drain_delay=3.0,
        drain_jitter=0.5,
        deadline=25.0,
        restarts=4,
        restart_window=60.0,
        restart_backoff=2.0,
    )
    assert env.tolerated == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PILOT_DRAIN_DELAY", "-1s"),
        ("PILOT_DRAIN_JITTER", "soon"),
        ("PILOT_SHUTDOWN_DEADLINE", "30"),
        ("PILOT_ENVOY_RESTARTS", "-1"),
        ("PILOT_ENVOY_RESTART_WINDOW", "x"),
        ("PILOT_ENVOY_RESTART_BACKOFF", "-2s"),
    ],
)
def test_a_bad_number_leaves_the_peers_life(name: str, text: str) -> None:
    env = Environment({name: text})
    assert lifecycle_branch(env, CONFIG) == LifecycleOptions()
    assert [(fault.name, fault.value) for fault in env.tolerated] == [(name, text)]


def test_envoy_gets_the_environment_as_it_is() -> None:
    env = Environment({"A": "b"})
    assert process_branch(env, uid=0) == ProcessOptions(environment={"A": "b"})


@pytest.mark.parametrize("policy", ["fips-140-2", "fips-140-3"])
def test_fips_ciphers(policy: str) -> None:
    given = process_branch(Environment({"COMPLIANCE_POLICY": policy}), uid=1)
    assert given.environment["GRPC_SSL_CIPHER_SUITES"] == FIPS_CIPHERS
    assert FIPS_CIPHERS == (
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    )


@pytest.mark.parametrize(
    ("uid", "address", "becomes"),
    [(0, "0.0.0.0:53", 1337), (0, "localhost:15053", None), (1337, "0.0.0.0:53", None)],
)
def test_root_gives_itself_up_where_it_serves_dns(
    uid: int, address: str, becomes: int | None
) -> None:
    assert process_branch(Environment({"DNS_PROXY_ADDR": address}), uid).uid == becomes


def test_who_writes_the_log() -> None:
    assert process_branch(Environment({"PILOT_ENVOY_LOG": "agent"}), uid=1).one_log
    env = Environment({"PILOT_ENVOY_LOG": "both"})
    assert not process_branch(env, uid=1).one_log
    assert "not one of envoy, agent" in str(env.tolerated[0])


def test_admin_of_a_sidecar_and_of_a_gateway() -> None:
    env = Environment({"ENVOY_SECURE_METRICS_PORT": "15091"})
    found = admin_branch(env, CONFIG, "sidecar", V4)
    assert (found.port, found.host, found.inbound_only) == (15000, "127.0.0.1", True)
    assert found.own_ports == (15020, 15090, 15021, 15091)
    gateway = admin_branch(Environment({}), CONFIG, "router", ("fd00::1",))
    assert (gateway.host, gateway.inbound_only) == ("::1", False)


def test_hot_restart_is_off_unless_asked_for() -> None:
    assert not hot_restart_branch(Environment({}), CONFIG).enabled
    env = Environment({"PILOT_HOT_RESTART": "true", "PILOT_UPGRADE_TIMEOUT": "9s"})
    found = hot_restart_branch(env, merge(environment="drainDuration: 20s"))
    assert found.enabled
    assert found.patience == 9.0
    assert found.socket == "./etc/istio/proxy/HOT"
    assert found.parent_shutdown == 35.0, "the drain, and a margin"


@pytest.mark.parametrize(
    ("variables", "config", "cpus", "threads"),
    [
        ({}, "", None, 0),
        ({}, "", 1.5, 2),
        ({}, "", 8.0, 0),
        ({}, "concurrency: 3", 1.5, 3),
        ({}, "concurrency: 0", 1.5, 0),
        ({"PILOT_COMPAT": "strict"}, "", 1.5, 0),
        ({"PILOT_COMPAT": "strict", "PILOT_CGROUP_CONCURRENCY": "true"}, "", 1.5, 2),
        ({"PILOT_CGROUP_CONCURRENCY": "false"}, "", 1.5, 0),
    ],
)
def test_threads(variables: dict[str, str], config: str, cpus: float | None, threads: int) -> None:
    found, _ = arguments(variables, config=merge(environment=config), cpus=cpus)
    assert found.concurrency == threads


def test_the_peers_cpu_limit_comes_first() -> None:
    found, _ = arguments(config=merge(cpu_limit=4), cpus=1.0)
    assert found.concurrency == 4


def test_an_override_with_the_hosts_address() -> None:
    variables = {"ISTIO_BOOTSTRAP_OVERRIDE": "/o.yaml", "HOST_IP": "fd00::1"}
    found, env = arguments(variables, override_text="b: 1\na: http://$(HOST_IP):80")
    assert found.override == '{"a":"http://[fd00::1]:80","b":1}'
    assert env.tolerated == []


@pytest.mark.parametrize(("text", "why"), [(None, "cannot be read"), ("a: [", "line 1")])
def test_a_bad_override_is_left_out_and_named(text: str | None, why: str) -> None:
    found, env = arguments({"ISTIO_BOOTSTRAP_OVERRIDE": "/o.yaml"}, override_text=text)
    assert found.override == ""
    (fault,) = env.tolerated
    assert (fault.name, fault.value) == ("ISTIO_BOOTSTRAP_OVERRIDE", "/o.yaml")
    assert why in fault.why
    assert fault.hint == "the override is left out"


def test_a_strange_log_level_is_named() -> None:
    found, env = arguments(log_levels=("info,a:b:c", "x:y"))
    assert (found.log_level, found.component_log_level) == ("info", "x:y")
    assert env.tolerated[0].value == "a:b:c"


def test_a_heap_limit_wants_a_memory_limit() -> None:
    assert heap_branch(Environment({}), 1 << 30) == 0
    asked = {"PILOT_OVERLOAD_MANAGER": "true"}
    assert 0 < heap_branch(Environment(asked), 1 << 30) < 1 << 30
    env = Environment(asked)
    assert heap_branch(env, None) == 0
    assert "no memory limit" in env.tolerated[0].why
