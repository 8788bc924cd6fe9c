# SPDX-License-Identifier: Apache-2.0
"""Each variable of the peer's that settings read: set, it arrives where it should; absent, the peer's default is there.

One row a variable. docs/parity.md points here. Source: spec/agent.md 1.7.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from agent.settings import Flags, Settings, World, load
from mesh import durations
from mesh.errors import BadSettings
from sdsserver.options import Curve, Mode

PROBER = '{"/app-health/a/readyz": {"tcpSocket": {"port": 80}}}'
ANNOTATION = '{"scrape": "true", "port": "8080", "path": "/m"}'


def loaded(env: dict[str, str], **world: Any) -> Settings:
    return load(World(env=env, addresses=(("eth0", "10.0.0.5"),), **world))


def at(settings: Settings, path: str) -> Any:
    """What stands at ``branch.field.field``; a number is an index, of a mapping a key."""
    return reduce(_step, path.split("."), settings)


def _step(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value[name]
    return value[int(name)] if name.isdecimal() else getattr(value, name)


ARRIVES: list[tuple[str, str, str, Any, Any]] = [
    ("ISTIO_META_CLUSTER_ID", "c1", "xds.cluster_id", "c1", ""),
    ("ISTIO_META_CLUSTER_ID", "c1", "secrets.ca.cluster_id", "c1", ""),
    ("ISTIO_META_CERT_SIGNER", "s", "secrets.ca.cert_signer", "s", ""),
    ("SERVICE_ACCOUNT", "sa", "secrets.identity.service_account", "sa", ""),
    ("TRUST_DOMAIN", "td", "secrets.identity.trust_domain", "td", "cluster.local"),
    ("TRUST_DOMAIN", "td", "xds.store.trust_domain", "td", "cluster.local"),
    ("CREDENTIAL_FETCHER_TYPE", "JWT", "google_token", None, None),
    (
        "CREDENTIAL_FETCHER_TYPE",
        "GoogleComputeEngine",
        "google_token.audience",
        "cluster.local",
        None,
    ),
    ("HOST_IP", "10.9.9.9", "bootstrap.host_ip", "10.9.9.9", ""),
    ("ISTIO_CPU_LIMIT", "3", "envoy.concurrency", 3, 0),
    ("ISTIO_ENVOY_ENABLE_CORE_DUMP", "true", "envoy.core_dump", True, False),
    ("ENVOY_SKIP_DEPRECATED_LOGS", "false", "envoy.skip_deprecated_logs", False, True),
    ("DISABLE_ENVOY", "true", "with_envoy", False, True),
    ("DISABLE_ENVOY", "true", "status.probe_envoy", False, True),
    ("GRPC_XDS_BOOTSTRAP", "g.json", "bootstrap.grpc_output", "g.json", None),
    ("GRPC_XDS_BOOTSTRAP", "", "bootstrap.grpc_output", "", "etc/istio/proxy/grpc-bootstrap.json"),
    ("GRPC_XDS_BOOTSTRAP", "g.json", "status.grpc_bootstrap", "g.json", None),
    ("ENVOY_STATUS_PORT", "1", "bootstrap.ports.status", 1, 15021),
    ("ENVOY_PROMETHEUS_PORT", "2", "bootstrap.ports.prometheus", 2, 15090),
    ("ENVOY_PROMETHEUS_PORT", "2", "status.scrape.envoy_port", 2, 15090),
    ("ENVOY_SECURE_METRICS_PORT", "3", "bootstrap.ports.secure_metrics", 3, 0),
    ("ENVOY_SECURE_MERGED_METRICS_PORT", "4", "bootstrap.ports.secure_merged_metrics", 4, 0),
    (
        "ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL",
        "1",
        "bootstrap.ports.status_proxy_protocol",
        True,
        False,
    ),
    ("MINIMUM_DRAIN_DURATION", "1m", "lifecycle.minimum_drain", 60.0, 5.0),
    (
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
        "true",
        "lifecycle.exit_on_zero_connections",
        True,
        False,
    ),
    ("PEER_METADATA_DISCOVERY", "true", "bootstrap.metadata.METADATA_DISCOVERY", "true", "false"),
    ("ISTIO_DELTA_XDS", "false", "bootstrap.switches.delta_xds", False, True),
    ("ISTIO_DUAL_STACK", "true", "bootstrap.switches.dual_stack", True, False),
    (
        "HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED",
        "false",
        "bootstrap.switches.strip_fragment",
        False,
        True,
    ),
    ("COMPLIANCE_POLICY", "fips-140-2", "xds.policy.maximum", "TLSv1_2", None),
    ("COMPLIANCE_POLICY", "fips-140-3", "secrets.ca.policy.maximum", "TLSv1_3", None),
    ("COMPLIANCE_POLICY", "pqc", "bootstrap.switches.compliance_policy", "pqc", ""),
    ("METRICS_LOCALHOST_ACCESS_ONLY", "true", "status.metrics_local_only", True, False),
    ("CLOUD_PLATFORM", "aws", "bootstrap.platform.cloud", "aws", ""),
    ("GCP_METADATA", "p|n|c|z", "bootstrap.platform.gcp_metadata", "p|n|c|z", ""),
    ("GCP_QUOTA_PROJECT", "q", "bootstrap.platform.gcp_quota_project", "q", ""),
    ("GCP_ZONE", "z", "bootstrap.platform.gcp_zone", "z", ""),
    ("GCE_METADATA_HOST", "h:1", "bootstrap.platform.gce_metadata_host", "h:1", ""),
    ("KUBERNETES_SERVICE_HOST", "10.0.0.1", "bootstrap.platform.is_kubernetes", True, False),
    ("KUBERNETES_SERVICE_HOST", "10.0.0.1", "secrets.output_mode", 0o644, 0o600),
    ("XDS_ROOT_CA", "/r.pem", "xds.roots", "/r.pem", None),
    ("XDS_ROOT_CA", "SYSTEM", "xds.roots", "", None),
    ("XDS_HEADER_X", "a=b", "xds.headers", (("X", "a=b"),), ()),
    ("CA_HEADER_X", "=v", "secrets.ca.headers", {"X": "=v"}, {}),
    ("CA_ROOT_CA", "/r.pem", "secrets.ca.roots", "/r.pem", None),
    ("CA_ADDR", "ca:1", "secrets.ca.address", "ca:1", "istiod.istio-system.svc:15012"),
    ("ISTIOD_SAN", "s", "xds.server_name", "s", "istiod.istio-system.svc"),
    ("ISTIOD_SAN", "s", "secrets.ca.server_name", "s", "istiod.istio-system.svc"),
    ("SECRET_TTL", "1h", "secrets.ttl", 3600.0, 86400.0),
    ("SECRET_GRACE_PERIOD_RATIO", "0.25", "secrets.grace_ratio", 0.25, 0.5),
    ("SECRET_GRACE_PERIOD_RATIO_JITTER", "0", "secrets.grace_jitter", 0.0, 0.01),
    ("FILE_DEBOUNCE_DURATION", "1s", "secrets.debounce", 1.0, 0.1),
    ("WORKLOAD_RSA_KEY_SIZE", "4096", "secrets.key.rsa_bits", 4096, 2048),
    ("PKCS8_KEY", "true", "secrets.key.pkcs8", True, False),
    ("ECC_SIGNATURE_ALGORITHM", "ECDSA", "secrets.key.ec_algorithm", "ECDSA", ""),
    ("ECC_CURVE", "P384", "secrets.key.curve", Curve.P384, Curve.P256),
    ("FILE_MOUNTED_CERTS", "true", "secrets.mode", Mode.FILE_MOUNTED, Mode.FULL),
    ("FILE_MOUNTED_CERTS", "true", "secrets.ca", None, None),
    ("PROV_CERT", "/p", "secrets.ca.provisioned", "/p", ""),
    ("PROV_CERT", "/p", "xds.certificate", "/p/cert-chain.pem", ""),
    ("OUTPUT_CERTS", "/o", "secrets.output_dir", "/o", ""),
    ("OUTPUT_CERTS", "/o", "bootstrap.grpc_certificates", "/o", ""),
    (
        "PILOT_CERT_PROVIDER",
        "custom",
        "secrets.ca.roots",
        "./etc/certs/root-cert.pem",
        "./var/run/secrets/istio/root-cert.pem",
    ),
    ("WORKLOAD_IDENTITY_SOCKET_FILE", "x", "secrets.socket_name", "x", "socket"),
    ("PROXY_CONFIG_XDS_AGENT", "true", "xds.proxy_config_updates", True, False),
    (
        "PILOT_ENABLE_CA_CRL",
        "false",
        "secrets.crl",
        "",
        "/var/run/secrets/istio/crl/ca-crl.pem",
    ),
    ("GRPC_KEEPALIVE_INTERVAL", "1m", "xds.keepalive_interval", 60.0, 30.0),
    ("GRPC_KEEPALIVE_TIMEOUT", "1s", "xds.keepalive_timeout", 1.0, 10.0),
    ("ISTIO_GPRC_MAXRECVMSGSIZE", "100", "xds.max_request", 100, 4194304),
    ("ISTIO_KUBE_APP_PROBERS", PROBER, "status.probers./app-health/a/readyz.timeout", 0, None),
    ("ISTIO_PROMETHEUS_ANNOTATIONS", ANNOTATION, "status.scrape.targets.0.path", "/m", None),
    ("ISTIO_ENABLE_HTTP2_PROBING", "false", "status.app.http2", False, True),
    ("ENABLE_PROBE_KEEPALIVE_CONNECTIONS", "true", "status.app.keepalive", True, False),
    (
        "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION",
        "true",
        "status.health_app.host",
        "localhost",
        "10.0.0.5",
    ),
    ("INSTANCE_IP", "10.0.0.9", "status.app.host", "10.0.0.9", "localhost"),
    ("INSTANCE_IP", "10.0.0.9", "bootstrap.instance_ips", ("10.0.0.9", "10.0.0.5"), None),
    ("PILOT_AGENT_MERGE_ENVOY_STATS", "false", "status.scrape.envoy_port", 0, 15090),
    ("PROXY_CONFIG", "{binaryPath: /e}", "envoy.binary", "/e", "/usr/local/bin/envoy"),
    ("ISTIO_META_NAME", "n", "bootstrap.metadata.NAME", "n", None),
    ("ISTIO_METAJSON_X", '{"A": {"b": 1}}', "bootstrap.metadata.A", {"b": 1}, None),
]
"""Variable, a value, the place in the tree, what stands there; the default, None where that is not the point."""


OURS = [
    ("PILOT_STATE_DIR", "/s", "xds.store.directory", "/s", "/var/lib/istio/data/pilothouse"),
    ("PILOT_STATE_DIR", "/s", "admin_endpoint.token_file", "/s/admin.token", None),
    ("PILOT_XDS_CACHE", "off", "xds.store.enabled", False, True),
    ("PILOT_COMPAT", "strict", "xds.store.enabled", False, True),
    ("PILOT_XDS_CACHE_MAX_AGE", "1h", "xds.store.max_age", 3600.0, 7 * 86400.0),
    ("PILOT_IDENTITY_DIR", "/i", "secrets.identity_dir", "/i", ""),
    ("PILOT_IDENTITY_DIR_TRUST", "true", "secrets.identity_dir_trusted", True, False),
    ("PILOT_CERT_POLL", "30s", "secrets.poll", 30.0, 5.0),
    ("PILOT_CORE_DUMPS", "true", "core_dumps", True, False),
    ("PILOT_COMPAT", "strict", "core_dumps", True, False),
    ("PILOT_CA_FALLBACKS", "b:1", "secrets.more_cas.0.address", "b:1", None),
    ("PILOT_UDS_ALLOW", "7,8", "xds.uds_allow", frozenset({7, 8}), None),
    ("PILOT_UDS_ALLOW", "any", "secrets.allow_uids", None, None),
    ("PILOT_METRICS_MERGE", "concatenate", "status.scrape.collisions", "concatenate", "auto"),
    ("PILOT_ADMIN_ADDR", "127.0.0.1:9", "admin_endpoint.port", 9, 0),
    ("PILOT_HOT_RESTART_PARENT_SHUTDOWN", "9s", "hot_restart.parent_shutdown", 9.0, 60.0),
    ("PILOT_CERT_PROOF", "false", "secrets.prove", False, True),
    ("PILOT_COMPAT", "strict", "secrets.prove", False, True),
    ("NOTIFY_SOCKET", "/n", "status.notify_socket", "/n", ""),
    ("WATCHDOG_USEC", "2000000", "status.watchdog", 2.0, 0.0),
]
"""The same for what the peer does not have."""


def _named(row: tuple[Any, ...]) -> str:
    return f"{row[0]}={row[1]} -> {row[2]}"


@pytest.mark.parametrize("row", [*ARRIVES, *OURS], ids=_named)
def test_it_arrives(row: tuple[Any, ...]) -> None:
    name, value, path, expected, default = row
    can = {"chooses_groups": True}
    assert at(loaded({name: value}, **can), path) == expected
    if default is not None:
        assert at(loaded({}), path) == default


def test_pod_name_and_namespace_make_the_node_id() -> None:
    settings = loaded({"POD_NAME": "p", "POD_NAMESPACE": "n"})
    assert settings.node.id == "sidecar~10.0.0.5~p.n~n.svc.cluster.local"
    assert settings.xds.store.node_id == settings.node.id


def test_the_override_goes_to_envoy_compact_and_with_the_host() -> None:
    env = {"ISTIO_BOOTSTRAP_OVERRIDE": "/o.yaml", "HOST_IP": "10.1.1.1"}
    settings = loaded(env, override_text="a:\n  b: $(HOST_IP)\n")
    assert settings.envoy.override == '{"a":{"b":"10.1.1.1"}}'


def test_fips_reaches_grpc_inside_envoy() -> None:
    settings = loaded({"COMPLIANCE_POLICY": "fips-140-2"})
    ciphers = settings.process.environment["GRPC_SSL_CIPHER_SUITES"]
    assert ciphers.split(":")[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


def test_a_policy_that_tls_cannot_follow_is_fatal() -> None:
    with pytest.raises(BadSettings, match=r"COMPLIANCE_POLICY='pqc'.*X25519MLKEM768"):
        loaded({"COMPLIANCE_POLICY": "pqc"})


@pytest.mark.parametrize(
    ("uid", "address", "became"),
    [(0, "localhost:53", 1337), (0, "localhost:15053", None), (1337, "localhost:53", None)],
)
def test_envoy_becomes_another_user_only_beside_a_dns_server_on_port_53(
    uid: int, address: str, became: int | None
) -> None:
    assert loaded({"DNS_PROXY_ADDR": address}, uid=uid).process.uid == became


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"CREDENTIAL_FETCHER_TYPE": "x"}, "CREDENTIAL_FETCHER_TYPE='x'"),
        ({"CA_PROVIDER": "x"}, "CA_PROVIDER='x'"),
        ({"PROV_CERT": "/p", "FILE_MOUNTED_CERTS": "true"}, "PROV_CERT='/p'"),
        ({"ISTIO_KUBE_APP_PROBERS": "{"}, "ISTIO_KUBE_APP_PROBERS"),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": "{"}, "ISTIO_PROMETHEUS_ANNOTATIONS"),
        ({"PROXY_CONFIG": "{concurrency: many}"}, "PROXY_CONFIG"),
    ],
)
def test_what_is_fatal_at_the_peer_is_fatal(env: dict[str, str], named: str) -> None:
    with pytest.raises(BadSettings) as caught:
        loaded(env)
    assert named in str(caught.value)
    assert all(fault.hint for fault in caught.value.faults)


def test_an_unknown_proxy_type_is_fatal() -> None:
    with pytest.raises(BadSettings, match="invalid proxy Type"):
        loaded({}, flags=Flags(kind="side"))


TOLERATED = [
    ("MINIMUM_DRAIN_DURATION", "soon", "lifecycle.minimum_drain", 5.0),
    ("DISABLE_ENVOY", "maybe", "with_envoy", True),
    ("ENABLE_PROBE_KEEPALIVE_CONNECTIONS", "often", "status.app.keepalive", False),
    ("WORKLOAD_RSA_KEY_SIZE", "big", "secrets.key.rsa_bits", 2048),
    ("SECRET_GRACE_PERIOD_RATIO", "half", "secrets.grace_ratio", 0.5),
    ("PILOT_CERT_POLL", "-1s", "secrets.poll", 5.0),
    ("COMPLIANCE_POLICY", "fips", "xds.policy", None),
]


@pytest.mark.parametrize(("name", "value", "path", "default"), TOLERATED)
def test_what_the_peer_tolerates_is_one_warning_and_the_default(
    name: str, value: str, path: str, default: object
) -> None:
    settings = loaded({name: value})
    assert at(settings, path) == default
    (warning,) = [one for one in settings.warnings if one.name == name]
    assert warning.value == value
    assert warning.hint


@pytest.mark.parametrize(("name", "value"), [row[:2] for row in TOLERATED])
def test_and_fatal_when_settings_are_strict(name: str, value: str) -> None:
    with pytest.raises(BadSettings) as caught:
        loaded({name: value, "PILOT_STRICT_SETTINGS": "true"})
    assert name in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    env = {"CREDENTIAL_FETCHER_TYPE": "x", "CA_PROVIDER": "y", "PROXY_CONFIG": "{drainDuration: 1}"}
    with pytest.raises(BadSettings) as caught:
        loaded(env)
    told = str(caught.value)
    assert all(name in told for name in env)


def test_durations_are_gos() -> None:
    assert loaded({"SECRET_TTL": "1h30m"}).secrets.ttl == durations.parse("1h30m")
