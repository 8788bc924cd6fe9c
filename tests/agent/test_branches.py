# SPDX-License-Identifier: Apache-2.0
"""Each branch made alone: what only it reads, what it tolerates, what it refuses. Rows of variables are in ``test_settings_variables``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent import branches
from agent.environment import Environment
from agent.status.prometheus import Collisions
from mesh import paths, ports
from mesh.compliance import POLICIES
from mesh.errors import BadSetting
from mesh.proxyconfig import ProxyConfig
from sdsserver.options import Mode

PLAIN: dict[str, Any] = {
    "configPath": "./etc/istio/proxy",
    "discoveryAddress": "istiod.istio-system.svc:15012",
    "controlPlaneAuthPolicy": "MUTUAL_TLS",
    "statusPort": 15020,
}


def config(**more: Any) -> ProxyConfig:
    return ProxyConfig.from_raw(PLAIN | more)


def reading(**variables: str) -> tuple[Environment, list[BadSetting]]:
    return Environment(variables), []


def nothing_there(_: str) -> bool:
    return False


def only(*there: str) -> Callable[[str], bool]:
    return lambda path: path in there


def test_compliance() -> None:
    env, _ = reading(COMPLIANCE_POLICY="fips-140-2")
    assert branches.compliance(env) == POLICIES["fips-140-2"]
    env, _ = reading(COMPLIANCE_POLICY="fips-1")
    assert branches.compliance(env) is None
    assert [(each.name, each.hint) for each in env.tolerated] == [
        ("COMPLIANCE_POLICY", "no policy is applied")
    ]


def test_the_admin_endpoint_is_a_socket_alone_until_an_address_is_given() -> None:
    env, faults = reading(PILOT_STATE_DIR="/state")
    alone = branches.admin_endpoint_branch(env, config(), faults)
    assert (alone.socket, alone.host, alone.port) == ("./etc/istio/proxy/ADMIN", "", 0)
    assert alone.token_file == "/state/admin.token"
    env, faults = reading(PILOT_ADMIN_ADDR="127.0.0.1:15099")
    both = branches.admin_endpoint_branch(env, config(), faults)
    assert (both.host, both.port, faults) == ("127.0.0.1", 15099, [])
    env, faults = reading(PILOT_ADMIN_ADDR="0.0.0.0:1")
    branches.admin_endpoint_branch(env, config(), faults)
    assert [each.name for each in faults] == ["PILOT_ADMIN_ADDR"]


def status(env: Environment, faults: list[BadSetting], kind: str = "sidecar", **more: Any) -> Any:
    return branches.status_branch(env, config(**more), kind, ["10.0.0.5"], faults, with_envoy=True)


def test_all_faults_of_the_status_branch_at_once() -> None:
    env, faults = reading(ISTIO_PROMETHEUS_ANNOTATIONS="{", ISTIO_KUBE_APP_PROBERS="[")
    status(env, faults)
    assert [each.name for each in faults] == [
        "ISTIO_PROMETHEUS_ANNOTATIONS",
        "ISTIO_KUBE_APP_PROBERS",
    ]


def test_without_a_status_port_nothing_of_it_is_read() -> None:
    env, faults = reading(ISTIO_PROMETHEUS_ANNOTATIONS="{", ISTIO_KUBE_APP_PROBERS="[")
    made = status(env, faults, statusPort=0)
    assert (made.port, made.probers, faults) == (0, {}, [])


def test_a_router_has_no_application_to_scrape() -> None:
    env, faults = reading(ISTIO_PROMETHEUS_ANNOTATIONS="{")
    status(env, faults, kind="router")
    assert faults == []


def test_envoys_metrics_are_merged_where_there_is_one() -> None:
    env, faults = reading()
    assert status(env, faults).scrape.envoy_port == ports.ENVOY_PROMETHEUS
    env, faults = reading(PILOT_AGENT_MERGE_ENVOY_STATS="false")
    assert status(env, faults).scrape.envoy_port == 0
    env, faults = reading()
    alone = branches.status_branch(env, config(), "sidecar", ["10.0.0.5"], faults, with_envoy=False)
    assert (alone.scrape.envoy_port, alone.probe_envoy) == (0, False)


@pytest.mark.parametrize(
    ("variables", "way", "tolerated"),
    [
        ({}, Collisions.AUTO, []),
        ({"PILOT_COMPAT": "strict"}, Collisions.CONCATENATE, []),
        ({"PILOT_METRICS_MERGE": "concatenate"}, Collisions.CONCATENATE, []),
        ({"PILOT_METRICS_MERGE": "mix"}, Collisions.AUTO, ["PILOT_METRICS_MERGE"]),
    ],
)
def test_colliding_metrics(
    variables: dict[str, str], way: Collisions, tolerated: list[str]
) -> None:
    env, faults = reading(**variables)
    assert status(env, faults).scrape.collisions is way
    assert [each.name for each in env.tolerated] == tolerated


def test_how_the_application_is_called() -> None:
    env, _ = reading()
    plain = branches.call_branch(env, ["10.0.0.5"])
    assert (plain.host, plain.source, plain.http2) == ("localhost", "127.0.0.6", True)
    env, _ = reading(INSTANCE_IP="10.0.0.5")
    dual = branches.call_branch(env, ["10.0.0.5", "fd00::1"])
    assert (dual.host, dual.source) == ("10.0.0.5", "127.0.0.6")
    assert branches.call_branch(env, ["fd00::1"]).source == "::6"
    env, _ = reading(INSTANCE_IP="10.0.0.5", REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION="true")
    assert branches.call_branch(env, ["10.0.0.5"]).host == "localhost"


def xds(
    env: Environment,
    faults: list[BadSetting],
    exists: Callable[[str], bool] = nothing_there,
    *,
    uid: int = 1337,
    with_envoy: bool = True,
    **more: Any,
) -> Any:
    return branches.xds_branch(
        env, config(**more), "sidecar~x", exists, faults, uid=uid, with_envoy=with_envoy
    )


WELL_KNOWN = f"{paths.CERTS_DIR}/{paths.ROOT_CERT}"


@pytest.mark.parametrize(
    ("variables", "there", "roots"),
    [
        ({"XDS_ROOT_CA": "SYSTEM"}, (), ""),
        ({"XDS_ROOT_CA": "/r"}, ("/r", WELL_KNOWN), "/r"),
        ({}, (WELL_KNOWN,), WELL_KNOWN),
        ({"PROV_CERT": "/p"}, (), f"/p/{paths.ROOT_CERT}"),
        ({}, (paths.CITADEL_ROOT,), paths.CITADEL_ROOT),
    ],
)
def test_roots_of_the_control_plane(
    variables: dict[str, str], there: tuple[str, ...], roots: str
) -> None:
    env, faults = reading(**variables)
    made = xds(env, faults, only(*there))
    assert (made.roots, made.tls, faults) == (roots, True, [])


def test_roots_that_are_not_there_are_told_with_their_path() -> None:
    env, faults = reading(XDS_ROOT_CA="/none")
    xds(env, faults)
    assert [(each.name, each.value) for each in faults] == [("XDS_ROOT_CA", "/none")]
    env, faults = reading(PILOT_CERT_PROVIDER="none")
    xds(env, faults)
    assert [each.name for each in faults] == ["PILOT_CERT_PROVIDER"]


def test_without_tls_no_roots_are_wanted() -> None:
    env, faults = reading(XDS_ROOT_CA="/none")
    made = xds(env, faults, controlPlaneAuthPolicy="NONE")
    assert (made.tls, made.roots, faults) == (False, "", [])


@pytest.mark.parametrize(
    ("text", "with_envoy", "allowed"),
    [
        ("", True, None),
        ("any", True, None),
        ("5, 6", True, frozenset({5, 6})),
        ("5,x", True, None),
    ],
)
def test_who_may_use_the_xds_socket(
    text: str, with_envoy: bool, allowed: frozenset[int] | None
) -> None:
    env, faults = reading(**({"PILOT_UDS_ALLOW": text} if text else {}))
    assert (
        xds(env, faults, with_envoy=with_envoy, controlPlaneAuthPolicy="NONE").uds_allow == allowed
    )
    assert len(env.tolerated) == (text == "5,x")


def test_the_proxy_by_name_is_more_than_its_uid() -> None:
    env, faults = reading(PILOT_UDS_ALLOW="proxy")
    allowed = xds(env, faults, uid=5, controlPlaneAuthPolicy="NONE").uds_allow
    assert allowed is not None
    assert {0, 5, 1337} <= allowed


@pytest.mark.parametrize(
    ("variables", "enabled"),
    [
        ({}, True),
        ({"PILOT_XDS_CACHE": "off"}, False),
        ({"PILOT_XDS_CACHE": "0"}, False),
        ({"PILOT_COMPAT": "strict"}, False),
        ({"PILOT_COMPAT": "strict", "PILOT_XDS_CACHE": "on"}, False),
    ],
)
def test_the_store(variables: dict[str, str], enabled: bool) -> None:
    env, faults = reading(**variables)
    assert xds(env, faults, controlPlaneAuthPolicy="NONE").store.enabled is enabled


def test_the_name_that_the_control_plane_must_show() -> None:
    assert branches.server_name("istiod.x.svc") == "istiod.x.svc"
    assert branches.server_name("localhost") == branches.ISTIOD


def secrets(env: Environment, faults: list[BadSetting], **more: Any) -> Any:
    return branches.secrets_branch(env, config(**more), faults, uid=1337, with_envoy=True)


def test_mounted_files_need_no_authority() -> None:
    env, faults = reading(FILE_MOUNTED_CERTS="true")
    made = secrets(env, faults)
    assert (made.mode, made.ca, faults) == (Mode.FILE_MOUNTED, None, [])
    env, faults = reading(CA_PROVIDER="GkeWorkloadCertificate")
    made = secrets(env, faults)
    assert made.mode is Mode.FILE_MOUNTED
    assert made.well_known.chain.startswith(paths.WORKLOAD_CREDENTIALS_DIR)


def test_authorities_in_the_order_in_which_they_are_asked() -> None:
    env, faults = reading(CA_ADDR="a:1", PILOT_CA_FALLBACKS="b:2, c:3,")
    made = secrets(env, faults)
    assert [made.ca.address, *(each.address for each in made.more_cas)] == ["a:1", "b:2", "c:3"]
    assert faults == []


def test_every_bad_fallback_is_told() -> None:
    env, faults = reading(PILOT_CA_FALLBACKS="b, c:3, d:x")
    made = secrets(env, faults)
    assert [each.value for each in faults] == ["b", "d:x"]
    assert made.more_cas == ()


def test_of_the_poll_delay_only_the_nanoseconds_count() -> None:
    """As in the peer."""
    env, faults = reading()
    made = secrets(env, faults, privateKeyProvider={"cryptomb": {"pollDelay": "2.5s"}})
    assert (made.key_provider, made.key_provider_poll_nanos) == ("cryptomb", 500_000_000)
