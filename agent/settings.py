# SPDX-License-Identifier: Apache-2.0
"""Env, argv and file texts become one frozen tree, each part's branch in its own type. Pure: reads nothing.

All faults are reported together; what the peer tolerates is a warning with the default that is used, and a
fault under PILOT_STRICT_SETTINGS. Precedence, names and defaults are the peer's: spec/agent.md 1.2, 1.7-1.9.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agent.admin.options import AdminEndpointOptions
from agent.branches import (
    admin_endpoint_branch,
    compliance,
    google_token_branch,
    secrets_branch,
    status_branch,
    xds_branch,
)
from agent.effective import Effective, effective_settings
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
from agent.envoy.options import AdminOptions, HotRestartOptions, ProcessOptions
from agent.google_token import GoogleTokenOptions
from agent.shutdown import LifecycleOptions
from agent.status.options import StatusOptions
from agent.xds.options import XdsOptions
from bootstrap.inputs import (
    BootstrapInputs,
    EnvoyPorts,
    PlatformInputs,
    Switches,
    bootstrap_inputs,
)
from mesh import paths, ports
from mesh.compliance import TlsPolicy
from mesh.errors import BadSetting, BadSettings
from mesh.node import Node, NodeOptions, assemble, node_id, parse_downward
from mesh.proxyconfig import ProxyConfig, merge
from sdsserver.options import SecretOptions

TYPES = ("sidecar", "router", "waypoint", "ztunnel", "agentgateway")
FETCHERS = ("", "JWT", "GoogleComputeEngine", "Mock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The command line of ``proxy``."""

    kind: str = "sidecar"
    domain: str = ""
    sts_port: int = 0
    service_cluster: str = "istio-proxy"
    proxy_log_level: str = "warning"
    proxy_component_log_level: str = ""
    concurrency: int = 0
    template_file: str = ""
    outlier_log_path: str = ""
    profiling: bool = True
    log_as_json: bool = False
    mesh_config: str = paths.MESH_CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything outside that settings depend on, read beforehand."""

    env: Mapping[str, str]
    flags: Flags = field(default_factory=Flags)
    mesh_text: str = ""
    labels_text: str | None = None
    annotations_text: str | None = None
    override_text: str | None = None
    """The file that ISTIO_BOOTSTRAP_OVERRIDE names."""
    addresses: tuple[tuple[str, str], ...] = ()
    """(interface, address) of each usable interface address."""
    uid: int = 0
    exists: Callable[[str], bool] = lambda _: True
    """Whether a path is there and a regular file or socket."""
    version: str = "unknown"
    chooses_groups: bool = False
    """Whether TLS key exchange groups can be named here."""
    cpus: float | None = None
    """What the control group allows; None is all ``cores``."""
    cores: int = 1
    memory: int | None = None
    """Bytes that the control group allows; None is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The tree. ``app`` hands each part its branch and nothing else."""

    config: ProxyConfig
    node: Node
    with_envoy: bool
    envoy: EnvoyArguments
    process: ProcessOptions
    admin: AdminOptions
    lifecycle: LifecycleOptions
    hot_restart: HotRestartOptions
    secrets: SecretOptions
    xds: XdsOptions
    bootstrap: BootstrapInputs
    status: StatusOptions
    admin_endpoint: AdminEndpointOptions
    """Ours, for operators; ``admin`` is Envoy's."""
    google_token: GoogleTokenOptions | None = None
    """Where the token comes from the machine's metadata server."""
    core_dumps: bool = False
    """PILOT_CORE_DUMPS: a crash of the agent may leave its memory, keys included, in a file."""
    bootstrap_file: str = ""
    """customConfigFile: a bootstrap of the user's, used as it is; empty: ours is written."""
    warnings: tuple[BadSetting, ...] = ()
    """Tolerated; the default named in the hint is used."""
    effective: tuple[Effective, ...] = ()
    """Every setting with its source, secrets masked."""
    notes: tuple[str, ...] = ()
    """Tolerated in ProxyConfig and metadata, in words."""


def load(world: World) -> Settings:
    """The tree. Raises BadSettings with every fault at once."""
    env = Environment(world.env)
    faults: list[BadSetting] = []
    _check_kind(world.flags.kind, faults)
    labels = _pod_file(paths.POD_LABELS, world.labels_text, env)
    annotations = _pod_file(paths.POD_ANNOTATIONS, world.annotations_text, env)
    config = _config(world, env, annotations or {}, faults)
    _check_security(env, world, faults)
    if config is None:
        raise BadSettings(faults)
    instance_ips = _instance_ips(env, world, annotations or {})
    try:
        node = _node(world, env, config, instance_ips, (labels, annotations))
        settings = _tree(world, env, config, node, instance_ips, faults)
    except BadSettings as several:
        faults += several.faults
    except BadSetting as fault:
        faults.append(fault)
    if env.flag("PILOT_STRICT_SETTINGS", default=False):
        faults += env.tolerated
    if faults:
        raise BadSettings(faults)
    effective = effective_settings(env, config)
    return replace(settings, warnings=tuple(env.tolerated), effective=effective)


def lifecycle_of(world: World) -> tuple[LifecycleOptions, tuple[BadSetting, ...]]:
    """That branch alone, and what was tolerated: a plan can be shown where there is no pod. Raises BadSettings."""
    env, config = _proxy_config(world)
    return lifecycle_branch(env, config), tuple(env.tolerated)


def admin_endpoint_of(world: World) -> AdminEndpointOptions:
    """That branch alone, for who asks a running agent. Raises BadSettings."""
    env, config = _proxy_config(world)
    faults: list[BadSetting] = []
    options = admin_endpoint_branch(env, config, faults)
    if faults:
        raise BadSettings(faults)
    return options


def _proxy_config(world: World) -> tuple[Environment, ProxyConfig]:
    """What a branch alone is made from. Raises BadSettings."""
    env = Environment(world.env)
    faults: list[BadSetting] = []
    annotations = _pod_file(paths.POD_ANNOTATIONS, world.annotations_text, env)
    config = _config(world, env, annotations or {}, faults)
    if config is None:
        raise BadSettings(faults)
    return env, config


def _check_kind(kind: str, faults: list[BadSetting]) -> None:
    if kind not in TYPES:
        faults.append(
            BadSetting("proxy type", kind, "invalid proxy Type", hint=f"one of {', '.join(TYPES)}")
        )


def _config(
    world: World, env: Environment, annotations: Mapping[str, str], faults: list[BadSetting]
) -> ProxyConfig | None:
    flags = world.flags
    try:
        return merge(
            mesh_file=world.mesh_text,
            mesh_file_name=flags.mesh_config,
            environment=env.text("PROXY_CONFIG"),
            annotations=annotations,
            cpu_limit=env.integer("ISTIO_CPU_LIMIT", 0),
            concurrency=flags.concurrency,
            service_cluster=flags.service_cluster,
            template_file=flags.template_file,
        )
    except BadSettings as several:
        faults += several.faults
        return None


def _pod_file(path: str, text: str | None, env: Environment) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        return parse_downward(text)
    except ValueError as error:
        env.tolerated.append(BadSetting(path, "", str(error), hint="the file is left out"))
        return None


def _check_security(env: Environment, world: World, faults: list[BadSetting]) -> None:
    """What the peer refuses to start with: spec/agent.md 1.8."""
    fetcher = env.text("CREDENTIAL_FETCHER_TYPE", "JWT")
    if fetcher not in FETCHERS:
        why = "invalid credential fetcher type"
        faults.append(BadSetting("CREDENTIAL_FETCHER_TYPE", fetcher, why))
    provisioned = env.text("PROV_CERT")
    if provisioned and env.flag("FILE_MOUNTED_CERTS", default=False):
        why = "PROV_CERT and FILE_MOUNTED_CERTS cannot be set together"
        faults.append(BadSetting("PROV_CERT", provisioned, why, hint="unset one of them"))
    provider = env.text("CA_PROVIDER", "Citadel")
    if provider == "GkeWorkloadCertificate":
        _check_gke(provisioned, world, faults)
    elif provider != "Citadel" and not env.flag("FILE_MOUNTED_CERTS", default=False):
        faults.append(BadSetting("CA_PROVIDER", provider, "CA provider not registered"))


def _check_gke(provisioned: str, world: World, faults: list[BadSetting]) -> None:
    names = ("certificates.pem", "private_key.pem", "ca_certificates.pem")
    missing = [n for n in names if not world.exists(f"{paths.WORKLOAD_CREDENTIALS_DIR}/{n}")]
    if missing:
        why = f"{missing[0]} is missing in {paths.WORKLOAD_CREDENTIALS_DIR}"
        faults.append(BadSetting("CA_PROVIDER", "GkeWorkloadCertificate", why))
    if provisioned:
        why = "PROV_CERT must be empty with GkeWorkloadCertificate"
        faults.append(BadSetting("PROV_CERT", provisioned, why))


def _instance_ips(
    env: Environment, world: World, annotations: Mapping[str, str]
) -> tuple[str, ...]:
    """INSTANCE_IP first, then what the interfaces have; never empty."""
    first = _address(env.text("INSTANCE_IP"))
    excluded = annotations.get("traffic.sidecar.istio.io/excludeInterfaces", "").split(",")
    found = [address for interface, address in world.addresses if interface not in excluded]
    found = found or ["127.0.0.1", "::1"]
    return tuple(dict.fromkeys([first, *found] if first else found))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _node(
    world: World,
    env: Environment,
    config: ProxyConfig,
    instance_ips: tuple[str, ...],
    pod: tuple[dict[str, str] | None, dict[str, str] | None],
) -> Node:
    flags = world.flags
    namespace = env.text("POD_NAMESPACE")
    domain = flags.domain or f"{namespace}.svc.cluster.local"
    options = NodeOptions(
        version=world.version,
        instance_ips=instance_ips,
        sts_port=flags.sts_port,
        envoy_status_port=env.port("ENVOY_STATUS_PORT", ports.ENVOY_STATUS),
        envoy_prometheus_port=env.port("ENVOY_PROMETHEUS_PORT", ports.ENVOY_PROMETHEUS),
        envoy_secure_metrics_port=env.port("ENVOY_SECURE_METRICS_PORT", 0),
        envoy_secure_merged_metrics_port=env.port("ENVOY_SECURE_MERGED_METRICS_PORT", 0),
        exit_on_zero_active_connections=env.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", default=False),
        metadata_discovery=env.maybe("PEER_METADATA_DISCOVERY"),
        skip_deprecated_logs=env.flag("ENVOY_SKIP_DEPRECATED_LOGS", default=True),
        workload_identity_socket_file=env.text("WORKLOAD_IDENTITY_SOCKET_FILE", "socket"),
        outlier_log_path=flags.outlier_log_path,
        credential_socket_exists=world.exists(paths.CREDENTIAL_SOCKET),
    )
    name = f"{env.text('POD_NAME')}.{namespace}"
    return assemble(
        id=node_id(flags.kind, instance_ips, name, domain),
        env=world.env,
        config=config,
        options=options,
        pod_labels=pod[0],
        pod_annotations=pod[1],
    )


def _tree(
    world: World,
    env: Environment,
    config: ProxyConfig,
    node: Node,
    instance_ips: tuple[str, ...],
    faults: list[BadSetting],
) -> Settings:
    flags = world.flags
    with_envoy = not env.flag("DISABLE_ENVOY", default=False)
    socket_file = env.text("WORKLOAD_IDENTITY_SOCKET_FILE", "socket")
    policy = _policy(env, world, faults)
    status = status_branch(env, config, flags.kind, instance_ips, faults, with_envoy=with_envoy)
    xds = xds_branch(
        env,
        config,
        node.id,
        world.exists,
        faults,
        uid=world.uid,
        with_envoy=with_envoy,
        policy=policy,
    )
    return Settings(
        config=config,
        node=node,
        with_envoy=with_envoy,
        envoy=arguments_branch(
            env,
            config,
            instance_ips,
            log_levels=(flags.proxy_log_level, flags.proxy_component_log_level),
            override_text=world.override_text,
            cpus=world.cpus,
            cores=world.cores,
        ),
        process=process_branch(env, world.uid),
        admin=admin_branch(env, config, flags.kind, instance_ips),
        lifecycle=lifecycle_branch(env, config),
        hot_restart=hot_restart_branch(env, config),
        secrets=secrets_branch(
            env, config, faults, uid=world.uid, with_envoy=with_envoy, policy=policy
        ),
        xds=xds,
        bootstrap=bootstrap_inputs(
            node=node,
            config=config,
            instance_ips=instance_ips,
            envoy_ports=_envoy_ports(env),
            switches=_switches(env, log_as_json=flags.log_as_json),
            workload_socket_file=socket_file,
            outlier_log_path=flags.outlier_log_path,
            host_ip=env.text("HOST_IP"),
            grpc_output=env.text("GRPC_XDS_BOOTSTRAP", "etc/istio/proxy/grpc-bootstrap.json"),
            grpc_certificates=env.text("OUTPUT_CERTS"),
            proxyless=not with_envoy,
            platform=_platform(env),
            heap_limit=heap_branch(env, world.memory),
        ),
        status=replace(status, profiling=flags.profiling),
        admin_endpoint=admin_endpoint_branch(env, config, faults),
        google_token=google_token_branch(env),
        core_dumps=env.flag("PILOT_CORE_DUMPS", default=env.strict),
        bootstrap_file=config.custom_config_file,
        notes=(*config.warnings, *node.warnings),
    )


def _policy(env: Environment, world: World, faults: list[BadSetting]) -> TlsPolicy | None:
    policy = compliance(env)
    if policy is not None and policy.needs_groups and not world.chooses_groups:
        name, group = env.text("COMPLIANCE_POLICY"), policy.groups[0]
        why = f"this Python cannot ask TLS for {group}, and nothing less is what the policy means"
        hint = "use an image with Python 3.15 or later and OpenSSL 3.5 or later, or another policy"
        faults.append(BadSetting("COMPLIANCE_POLICY", name, why, hint=hint))
    return policy


def _envoy_ports(env: Environment) -> EnvoyPorts:
    return EnvoyPorts(
        status=env.port("ENVOY_STATUS_PORT", ports.ENVOY_STATUS),
        prometheus=env.port("ENVOY_PROMETHEUS_PORT", ports.ENVOY_PROMETHEUS),
        secure_metrics=env.port("ENVOY_SECURE_METRICS_PORT", 0),
        secure_merged_metrics=env.port("ENVOY_SECURE_MERGED_METRICS_PORT", 0),
        status_proxy_protocol=env.flag("ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL", default=False),
    )


def _switches(env: Environment, *, log_as_json: bool) -> Switches:
    return Switches(
        delta_xds=env.flag("ISTIO_DELTA_XDS", default=True),
        dual_stack=env.flag("ISTIO_DUAL_STACK", default=False),
        log_as_json=log_as_json,
        strip_fragment=env.flag("HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED", default=True),
        compliance_policy=env.text("COMPLIANCE_POLICY"),
    )


def _platform(env: Environment) -> PlatformInputs:
    return PlatformInputs(
        cloud=env.text("CLOUD_PLATFORM"),
        gcp_metadata=env.text("GCP_METADATA"),
        gcp_quota_project=env.text("GCP_QUOTA_PROJECT"),
        gcp_zone=env.text("GCP_ZONE"),
        gce_metadata_host=env.text("GCE_METADATA_HOST"),
        is_kubernetes=bool(env.text("KUBERNETES_SERVICE_HOST")),
    )
