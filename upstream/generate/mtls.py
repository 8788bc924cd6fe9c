# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS: who must show a certificate, and the transport sockets at both ends. Pure.

Source: spec/upstream.md 7.7, 7.8 (PeerAuthentication), 17.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envoy.config.core.v3 import base_pb2, config_source_pb2, grpc_service_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue

from upstream.config.objects import Kind, Object
from upstream.config.security import MtlsMode, PeerAuthentication
from upstream.generate.resource import packed
from upstream.world import World

SDS_CLUSTER = "sds-grpc"
WORKLOAD_SECRET = "default"  # noqa: S105  a resource name
ROOT_SECRET = "ROOTCA"  # noqa: S105  a resource name
TLS = "envoy.transport_sockets.tls"
RAW = "envoy.transport_sockets.raw_buffer"
CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)


def namespace_mode(namespace: str, world: World) -> MtlsMode:
    """The mode of a namespace as a whole: its own policy, else the mesh's, else PERMISSIVE."""
    key = ("mtls", namespace)
    return world.memo(key, lambda: _inherited(namespace, world))


def workload_mode(namespace: str, labels: Mapping[str, str], port: int, world: World) -> MtlsMode:
    """The mode of one port of one workload."""
    inherited = namespace_mode(namespace, world)
    for policy in _policies(namespace, world):
        selector = policy.spec.selector
        if not selector or not selector.match_labels:
            continue
        if selector.match_labels.items() <= labels.items():
            own = _mode(policy.spec, inherited)
            at_port = (policy.spec.port_level_mtls or {}).get(str(port))
            given = at_port.mode if at_port else MtlsMode.UNSET
            return own if given is MtlsMode.UNSET else given
    return inherited


def _policies(namespace: str, world: World) -> list[Object[PeerAuthentication]]:
    return [one for one in world.objects(Kind.PEER_AUTHENTICATION) if one.namespace == namespace]


def _inherited(namespace: str, world: World) -> MtlsMode:
    root = world.mesh.root_namespace
    mode = MtlsMode.PERMISSIVE
    for space in dict.fromkeys((root, namespace)):
        for policy in _policies(space, world):
            selector = policy.spec.selector
            if not selector or not selector.match_labels:
                mode = _mode(policy.spec, mode)
                break
    return mode


def _mode(spec: PeerAuthentication, inherited: MtlsMode) -> MtlsMode:
    given = spec.mtls.mode if spec.mtls else MtlsMode.UNSET
    return inherited if given is MtlsMode.UNSET else given


def sds_config(name: str) -> secret_pb2.SdsSecretConfig:
    """A secret from the agent's own socket."""
    service = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=SDS_CLUSTER)
    )
    api = config_source_pb2.ApiConfigSource(
        api_type=config_source_pb2.ApiConfigSource.GRPC,
        transport_api_version=config_source_pb2.V3,
        grpc_services=[service],
        set_node_on_first_message_only=True,
    )
    source = config_source_pb2.ConfigSource(
        api_config_source=api,
        initial_fetch_timeout=Duration(),
        resource_api_version=config_source_pb2.V3,
    )
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)


def validation(
    names: Sequence[string_pb2.StringMatcher], root: str = ROOT_SECRET
) -> tls_pb2.CommonTlsContext.CombinedCertificateValidationContext:
    """The mesh's root, and who may be at the other end."""
    return tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(
            match_subject_alt_names=names
        ),
        validation_context_sds_secret_config=sds_config(root),
    )


def upstream_socket(
    *, sni: str, peers: Sequence[str], alpn: Sequence[str]
) -> base_pb2.TransportSocket:
    """The client's side: our certificate shown, the server's identity checked."""
    context = tls_pb2.UpstreamTlsContext(
        sni=sni,
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
            ),
            alpn_protocols=alpn,
            tls_certificate_sds_secret_configs=[sds_config(WORKLOAD_SECRET)],
            combined_validation_context=validation(
                [string_pb2.StringMatcher(exact=peer) for peer in peers]
            ),
        ),
    )
    return socket(TLS, context)


def downstream_socket(world: World, alpn: Sequence[str]) -> base_pb2.TransportSocket:
    """The server's side: a client certificate of our trust domains is required."""
    domains = (world.mesh.trust_domain, *world.mesh.trust_domain_aliases)
    known = [domain for domain in domains if domain]
    names = [string_pb2.StringMatcher(prefix=f"spiffe://{domain}/") for domain in known]
    context = tls_pb2.DownstreamTlsContext(
        require_client_certificate=BoolValue(value=True),
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
                cipher_suites=CIPHERS,
            ),
            alpn_protocols=alpn,
            tls_certificate_sds_secret_configs=[sds_config(WORKLOAD_SECRET)],
            combined_validation_context=validation(names),
        ),
    )
    return socket(TLS, context)


def raw_socket() -> base_pb2.TransportSocket:
    """No transport security."""
    return socket(RAW, raw_buffer_pb2.RawBuffer())


def socket(name: str, context: object) -> base_pb2.TransportSocket:
    """A transport socket by its extension name."""
    return base_pb2.TransportSocket(name=name, typed_config=packed(context))  # type: ignore[arg-type]  # a message
