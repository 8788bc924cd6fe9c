# SPDX-License-Identifier: Apache-2.0
"""The branches of the settings tree, one function each: variables and ProxyConfig in, a part's options out. Pure.

What only one branch reads stands here; order and faults in common are ``settings``'. Source: spec/agent.md 1.7, 4.3,
4.6, 7.1, 8; DESIGN 4.3, 4.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent.admin.options import SETTING as ADMIN_ADDRESS
from agent.admin.options import AdminEndpointOptions, tcp_address
from agent.environment import Environment
from agent.google_token import HOST as METADATA_HOST
from agent.google_token import GoogleTokenOptions
from agent.google_token import address as metadata_address
from agent.status.options import CallOptions, StatusOptions
from agent.status.probers import SETTING as PROBERS
from agent.status.probers import Prober, app_probers, health_probe
from agent.status.prometheus import NO_SCRAPE, Collisions, ScrapeOptions, scrape_config
from agent.status.prometheus import SETTING as PROMETHEUS
from agent.xds.options import StoreOptions, XdsOptions
from mesh import durations, paths, ports
from mesh.compliance import TlsPolicy, tls_policy
from mesh.errors import BadSetting
from mesh.identity import Identity
from mesh.node import headers_from_env
from mesh.proxyconfig import ProxyConfig, address_fault
from sdsserver.options import (
    CaOptions,
    CertFiles,
    Curve,
    KeyOptions,
    Mode,
    SecretOptions,
    ca_roots,
    plaintext_address,
    proxy_uids,
)

ISTIOD = "istiod.istio-system.svc"
TRUST_DOMAIN = "cluster.local"
_DAY = 24 * 3600.0


def compliance(env: Environment) -> TlsPolicy | None:
    """COMPLIANCE_POLICY for our own connections; an unknown one is the peer's warning, and none."""
    name = env.text("COMPLIANCE_POLICY")
    try:
        return tls_policy(name)
    except ValueError as error:
        hint = "no policy is applied"
        env.tolerated.append(BadSetting("COMPLIANCE_POLICY", name, str(error), hint=hint))
        return None


def admin_endpoint_branch(
    env: Environment, config: ProxyConfig, faults: list[BadSetting]
) -> AdminEndpointOptions:
    """The endpoint for operators."""
    host, port = "", 0
    try:
        host, port = tcp_address(env.text(ADMIN_ADDRESS))
    except BadSetting as fault:
        faults.append(fault)
    return AdminEndpointOptions(
        socket=f"{config.config_path}/{paths.ADMIN_SOCKET_NAME}",
        host=host,
        port=port,
        token_file=f"{env.text('PILOT_STATE_DIR', paths.STATE_DIR)}/admin.token",
    )


def status_branch(
    env: Environment,
    config: ProxyConfig,
    kind: str,
    instance_ips: Sequence[str],
    faults: list[BadSetting],
    *,
    with_envoy: bool,
) -> StatusOptions:
    """The status server. Appends what the peer refuses to start with."""
    scrape, probers, health = NO_SCRAPE, dict[str, Prober](), None
    try:
        if kind == "sidecar" and config.status_port:
            scrape = scrape_config(env.text(PROMETHEUS), status_port=config.status_port)
    except BadSetting as fault:
        faults.append(fault)
    try:
        probers = app_probers(env.text(PROBERS)) if config.status_port else probers
        health = health_probe(config.readiness_probe) if config.readiness_probe else None
    except BadSetting as fault:
        faults.append(fault)
    merged = with_envoy and env.flag("PILOT_AGENT_MERGE_ENVOY_STATS", default=True)
    prometheus = env.port("ENVOY_PROMETHEUS_PORT", ports.ENVOY_PROMETHEUS)
    app = call_branch(env, instance_ips)
    legacy = env.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", default=False)
    return StatusOptions(
        port=config.status_port,
        probe_envoy=with_envoy,
        grpc_bootstrap=env.text("GRPC_XDS_BOOTSTRAP", "etc/istio/proxy/grpc-bootstrap.json"),
        metrics_local_only=env.flag("METRICS_LOCALHOST_ACCESS_ONLY", default=False),
        scrape=ScrapeOptions(
            envoy_port=prometheus if merged else 0,
            targets=scrape.scraped,
            collisions=_collisions(env),
        ),
        probers=probers,
        app=app,
        health=health,
        health_app=replace(app, host="localhost" if legacy else instance_ips[0]),
        notify_socket=env.text("NOTIFY_SOCKET"),
        watchdog=env.integer("WATCHDOG_USEC", 0) / 1e6,
    )


def call_branch(env: Environment, instance_ips: Sequence[str]) -> CallOptions:
    """How the application is called for probes."""
    legacy = env.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", default=False)
    return CallOptions(
        host="localhost" if legacy else env.text("INSTANCE_IP") or "localhost",
        source="::6" if all(":" in each for each in instance_ips) else "127.0.0.6",
        http2=env.flag("ISTIO_ENABLE_HTTP2_PROBING", default=True),
        keepalive=env.flag("ENABLE_PROBE_KEEPALIVE_CONNECTIONS", default=False),
    )


def _collisions(env: Environment) -> Collisions:
    """PILOT_METRICS_MERGE; the peer's way under PILOT_COMPAT=strict."""
    default = Collisions.CONCATENATE if env.strict else Collisions.AUTO
    text = env.text("PILOT_METRICS_MERGE") or default
    try:
        return Collisions(text)
    except ValueError:
        why = f"not one of {', '.join(Collisions)}"
        hint = f"the default is used: {default}"
        env.tolerated.append(BadSetting("PILOT_METRICS_MERGE", text, why, hint=hint))
        return default


def xds_branch(
    env: Environment,
    config: ProxyConfig,
    node_id: str,
    exists: Callable[[str], bool],
    faults: list[BadSetting],
    *,
    uid: int,
    with_envoy: bool,
    policy: TlsPolicy | None = None,
) -> XdsOptions:
    """The relay. Appends what the peer refuses to start with."""
    plain = config.plaintext
    roots = "" if plain else _xds_roots(env, config, exists, faults)
    certificate, key = _xds_certificate(env, config)
    return XdsOptions(
        socket=f"{config.config_path}/{paths.XDS_SOCKET_NAME}",
        upstream=config.discovery_address,
        tls=not plain,
        roots=roots,
        server_name=env.text("ISTIOD_SAN") or server_name(config.discovery_host),
        certificate=certificate,
        key=key,
        token=paths.JWT,
        headers=tuple(headers_from_env(env.variables, "XDS_HEADER_").items()),
        cluster_id=env.text("ISTIO_META_CLUSTER_ID"),
        keepalive_interval=env.duration("GRPC_KEEPALIVE_INTERVAL", 30.0),
        keepalive_timeout=env.duration("GRPC_KEEPALIVE_TIMEOUT", 10.0),
        max_request=env.integer("ISTIO_GPRC_MAXRECVMSGSIZE", 4 * 1024 * 1024),
        uds_allow=_allowed(env, uid, "any", with_envoy=with_envoy),
        proxy_config_updates=env.flag("PROXY_CONFIG_XDS_AGENT", default=False),
        policy=policy,
        store=StoreOptions(
            enabled=_store_enabled(env),
            directory=env.text("PILOT_STATE_DIR", paths.STATE_DIR),
            max_age=env.duration("PILOT_XDS_CACHE_MAX_AGE", 7 * _DAY),
            node_id=node_id,
            trust_domain=env.text("TRUST_DOMAIN", TRUST_DOMAIN),
        ),
    )


def server_name(host: str) -> str:
    """The name that the control plane's certificate must carry."""
    return ISTIOD if "localhost" in host else host


def _store_enabled(env: Environment) -> bool:
    if env.strict:
        return False
    return env.text("PILOT_XDS_CACHE", "on") not in ("off", "false", "0")


def _xds_roots(
    env: Environment,
    config: ProxyConfig,
    exists: Callable[[str], bool],
    faults: list[BadSetting],
) -> str:
    """The peer's order; empty is the system's pool."""
    setting = env.text("XDS_ROOT_CA")
    well_known = f"{paths.CERTS_DIR}/{paths.ROOT_CERT}"
    if setting == "SYSTEM":
        return ""
    if setting:
        path = setting
    elif exists(well_known):
        return well_known
    elif env.text("PROV_CERT"):
        return f"{env.text('PROV_CERT')}/{paths.ROOT_CERT}"
    elif env.flag("FILE_MOUNTED_CERTS", default=False):
        path = config.proxy_metadata.get("ISTIO_META_TLS_CLIENT_ROOT_CERT", "")
    elif env.text("PILOT_CERT_PROVIDER", "istiod") == "none":
        why = "root CA file for XDS required but configured as none"
        faults.append(BadSetting("PILOT_CERT_PROVIDER", "none", why))
        return ""
    else:
        path = paths.CITADEL_ROOT
    if not exists(path):
        hint = "mount istio-ca-root-cert, or set XDS_ROOT_CA to a file or SYSTEM"
        why = "root CA file for XDS does not exist"
        faults.append(BadSetting("XDS_ROOT_CA", path, why, hint=hint))
    return path


def _xds_certificate(env: Environment, config: ProxyConfig) -> tuple[str, str]:
    provisioned = env.text("PROV_CERT")
    if provisioned:
        return f"{provisioned}/{paths.CERT_CHAIN}", f"{provisioned}/{paths.KEY}"
    if env.flag("FILE_MOUNTED_CERTS", default=False):
        metadata = config.proxy_metadata
        chain = metadata.get("ISTIO_META_TLS_CLIENT_CERT_CHAIN", "")
        key = metadata.get("ISTIO_META_TLS_CLIENT_KEY", "")
        return (chain, key) if chain and key else ("", "")
    return "", ""


def _allowed(
    env: Environment, uid: int, default: str, *, with_envoy: bool
) -> frozenset[int] | None:
    """Uids that may connect to a socket of ours; None is anyone."""
    text = env.text("PILOT_UDS_ALLOW") or (default if with_envoy else "any")
    if text == "any":
        return None
    if text == "proxy":
        return proxy_uids(uid)
    numbers = [each.strip() for each in text.split(",")]
    if not all(each.isdigit() for each in numbers):
        why = "not any, proxy or a list of uids"
        hint = f"the default is used: {default}"
        env.tolerated.append(BadSetting("PILOT_UDS_ALLOW", text, why, hint=hint))
        return None if default == "any" else proxy_uids(uid)
    return frozenset(int(each) for each in numbers)


def google_token_branch(env: Environment) -> GoogleTokenOptions | None:
    """None with the token that is mounted."""
    if env.text("CREDENTIAL_FETCHER_TYPE", "JWT") != "GoogleComputeEngine":
        return None
    return GoogleTokenOptions(
        audience=env.text("TRUST_DOMAIN", TRUST_DOMAIN), host=_metadata_host(env)
    )


def _metadata_host(env: Environment) -> str:
    text = env.text("GCE_METADATA_HOST")
    try:
        metadata_address(text or METADATA_HOST)
    except ValueError as error:
        hint = f"the default is used: {METADATA_HOST}"
        env.tolerated.append(BadSetting("GCE_METADATA_HOST", text, str(error), hint=hint))
        return METADATA_HOST
    return text or METADATA_HOST


def secrets_branch(
    env: Environment,
    config: ProxyConfig,
    faults: list[BadSetting],
    *,
    uid: int,
    with_envoy: bool,
    policy: TlsPolicy | None = None,
) -> SecretOptions:
    """The secret part. Appends what the peer refuses to start with."""
    mounted = env.flag("FILE_MOUNTED_CERTS", default=False)
    gke = env.text("CA_PROVIDER") == "GkeWorkloadCertificate"
    allowed = _allowed(env, uid, "proxy", with_envoy=with_envoy)
    cas = () if mounted or gke else _cas(env, config, faults, policy)
    return SecretOptions(
        identity=Identity(
            trust_domain=env.text("TRUST_DOMAIN", TRUST_DOMAIN),
            namespace=env.text("POD_NAMESPACE"),
            service_account=env.text("SERVICE_ACCOUNT"),
        ),
        ca=cas[0] if cas else None,
        more_cas=cas[1:],
        mode=Mode.FILE_MOUNTED if mounted or gke else Mode.FULL,
        socket_name=env.text("WORKLOAD_IDENTITY_SOCKET_FILE", paths.WORKLOAD_SOCKET_NAME),
        well_known=_gke_files() if gke else CertFiles.in_dir(paths.CERTS_DIR),
        output_dir=env.text("OUTPUT_CERTS"),
        output_mode=0o644 if env.text("KUBERNETES_SERVICE_HOST") else 0o600,
        key=KeyOptions(
            rsa_bits=env.integer("WORKLOAD_RSA_KEY_SIZE", 2048),
            ec_algorithm=env.text("ECC_SIGNATURE_ALGORITHM"),
            curve=Curve.P384 if env.text("ECC_CURVE") == "P384" else Curve.P256,
            pkcs8=env.flag("PKCS8_KEY", default=False),
        ),
        ttl=env.duration("SECRET_TTL", _DAY),
        grace_ratio=env.number("SECRET_GRACE_PERIOD_RATIO", 0.5),
        grace_jitter=env.number("SECRET_GRACE_PERIOD_RATIO_JITTER", 0.01),
        debounce=env.duration("FILE_DEBOUNCE_DURATION", 0.1),
        poll=env.span("PILOT_CERT_POLL", 5.0),
        crl=paths.CRL if env.flag("PILOT_ENABLE_CA_CRL", default=True) else "",
        identity_dir=env.text("PILOT_IDENTITY_DIR"),
        identity_dir_trusted=env.flag("PILOT_IDENTITY_DIR_TRUST", default=False),
        prove=with_envoy and _cert_proof(env),
        allow_uids=allowed,
        allow_gids=frozenset() if allowed is None else _proxy_gids(env),
        **_key_provider(config),
    )


def _cert_proof(env: Environment) -> bool:
    """PILOT_CERT_PROOF; off under PILOT_COMPAT=strict, as it is a connection that the peer does not make."""
    return env.flag("PILOT_CERT_PROOF", default=not env.strict)


def _proxy_gids(env: Environment) -> frozenset[int]:
    """The proxy's group counts where the proxy is admitted by name, not where uids are listed."""
    named = env.text("PILOT_UDS_ALLOW") or "proxy"
    return frozenset({ports.PROXY_UID}) if named == "proxy" else frozenset()


def _key_provider(config: ProxyConfig) -> dict[str, Any]:
    """ProxyConfig.privateKeyProvider; as in the peer, only the nanoseconds of its pollDelay count."""
    for name, settings in (config.raw.get("privateKeyProvider") or {}).items():
        delay = durations.parse(settings.get("pollDelay", "0s"))
        return {
            "key_provider": name,
            "key_provider_poll_nanos": round(delay * 1e9) % 1_000_000_000,
            "key_provider_fallback": bool(settings.get("fallback")),
        }
    return {}


def _gke_files() -> CertFiles:
    directory = paths.WORKLOAD_CREDENTIALS_DIR
    return CertFiles(
        chain=f"{directory}/certificates.pem",
        key=f"{directory}/private_key.pem",
        root=f"{directory}/ca_certificates.pem",
    )


def _cas(
    env: Environment,
    config: ProxyConfig,
    faults: list[BadSetting],
    policy: TlsPolicy | None,
) -> tuple[CaOptions, ...]:
    """Every CA in the order in which they are asked."""
    first = _ca(env, config, faults)
    found = (first, *_more_cas(env, faults)) if first else ()
    return tuple(replace(each, policy=policy) for each in found)


def _ca(env: Environment, config: ProxyConfig, faults: list[BadSetting]) -> CaOptions | None:
    named = env.text("CA_ADDR")
    san = "" if named else env.text("ISTIOD_SAN")
    return _ca_at(named or config.discovery_address, san, env, faults)


def _more_cas(env: Environment, faults: list[BadSetting]) -> tuple[CaOptions, ...]:
    """PILOT_CA_FALLBACKS: addresses, comma-separated; asked with the first one's roots and credentials."""
    name = "PILOT_CA_FALLBACKS"
    addresses = [each.strip() for each in env.text(name).split(",") if each.strip()]
    wrong = [(each, why) for each in addresses if (why := address_fault(each))]
    faults += [BadSetting(name, each, why, hint="host:port,host:port") for each, why in wrong]
    found = [_ca_at(each, "", env, faults) for each in addresses] if not wrong else []
    return tuple(each for each in found if each is not None)


def _ca_at(address: str, san: str, env: Environment, faults: list[BadSetting]) -> CaOptions | None:
    tls = not plaintext_address(address)
    provider = env.text("PILOT_CERT_PROVIDER", "istiod")
    provisioned = env.text("PROV_CERT")
    roots: str | None = None
    try:
        if tls:
            setting = env.text("CA_ROOT_CA")
            roots = ca_roots(setting=setting, provider=provider, provisioned=provisioned)
    except ValueError as error:
        faults.append(BadSetting("PILOT_CERT_PROVIDER", provider, str(error)))
        return None
    host = address.rpartition(":")[0].strip("[]")
    return CaOptions(
        address=address,
        tls=tls,
        roots=roots,
        server_name=san or server_name(host),
        provisioned=provisioned,
        token=paths.JWT,
        cluster_id=env.text("ISTIO_META_CLUSTER_ID"),
        cert_signer=env.text("ISTIO_META_CERT_SIGNER"),
        headers=headers_from_env(env.variables, "CA_HEADER_"),
    )
