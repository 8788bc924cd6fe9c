# SPDX-License-Identifier: Apache-2.0
"""Transport security of outbound clusters: what a DestinationRule says, else automatic mutual TLS. Pure.

Source: spec/upstream.md 7.7.
"""

from __future__ import annotations

from typing import TypeAlias

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.struct_pb2 import Struct

from upstream.config.destination_rule import ClientTls, TrafficPolicy
from upstream.config.security import MtlsMode
from upstream.config.shared import TlsMode
from upstream.generate.cluster_policy import speaks_http2
from upstream.generate.metadata import ISTIO
from upstream.generate.mtls import (
    TLS,
    namespace_mode,
    raw_socket,
    sds_config,
    socket,
    upstream_socket,
)
from upstream.generate.names import server_name
from upstream.generate.view import View
from upstream.registry import TLS_MODE_DISABLED, TLS_MODE_ISTIO, Service, ServicePort

_Cluster: TypeAlias = cluster_pb2.Cluster
_Options: TypeAlias = http_protocol_options_pb2.HttpProtocolOptions
SYSTEM_ROOTS = "file-root:system"


def apply_tls(
    cluster: _Cluster,
    options: _Options,
    policy: TrafficPolicy,
    view: View,
    service: Service,
    port: ServicePort,
    subset: str,
) -> None:
    """Set the transport socket of ``cluster``."""
    tls = policy.tls
    if tls is None:
        if _automatic(cluster, view, service, port):
            _mutual(cluster, options, ClientTls(), view, service, port, subset, automatic=True)
        return
    if tls.mode is TlsMode.ISTIO_MUTUAL:
        _mutual(cluster, options, tls, view, service, port, subset, automatic=False)
    elif tls.mode is not TlsMode.DISABLE:
        _originate(cluster, options, tls, view, service, port)


def _automatic(cluster: _Cluster, view: View, service: Service, port: ServicePort) -> bool:
    """Whether mutual TLS goes without saying."""
    if service.external or not view.world.mesh.enable_auto_mtls:
        return False
    if cluster.type == _Cluster.ORIGINAL_DST:
        members = list(service.endpoints_of(port))
        if not members or any(one.tls_mode == TLS_MODE_DISABLED for one in members):
            return False
    return namespace_mode(service.namespace, view.world) is not MtlsMode.DISABLE


def _mutual(
    cluster: _Cluster,
    options: _Options,
    tls: ClientTls,
    view: View,
    service: Service,
    port: ServicePort,
    subset: str,
    *,
    automatic: bool,
) -> None:
    exchange = ["istio-peer-exchange"] if view.world.istio_filters else []
    secure = upstream_socket(
        sni=tls.sni or server_name(port.number, subset, service.hostname),
        peers=tls.subject_alt_names or _accounts(view, service, port),
        alpn=[*exchange, "istio", *(["h2"] if speaks_http2(options) else [])],
    )
    if not automatic or cluster.type == _Cluster.ORIGINAL_DST:
        cluster.transport_socket.CopyFrom(secure)
        return
    match = Struct()
    match["tlsMode"] = TLS_MODE_ISTIO
    cluster.transport_socket_matches.extend(
        [
            _Cluster.TransportSocketMatch(
                name="tlsMode-istio", match=match, transport_socket=secure
            ),
            _Cluster.TransportSocketMatch(
                name="tlsMode-disabled", match=Struct(), transport_socket=raw_socket()
            ),
        ]
    )


def _accounts(view: View, service: Service, port: ServicePort) -> tuple[str, ...]:
    return view.registry.service_accounts(service.hostname, port.number)


def _originate(
    cluster: _Cluster,
    options: _Options,
    tls: ClientTls,
    view: View,
    service: Service,
    port: ServicePort,
) -> None:
    """Plain TLS, with a certificate of files in mode MUTUAL."""
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
            tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
        )
    )
    if speaks_http2(options):
        common.alpn_protocols.append("h2")
    if tls.mode is TlsMode.MUTUAL:
        name = f"file-cert:{tls.client_certificate}~{tls.private_key}"
        common.tls_certificate_sds_secret_configs.append(_file_secret(name))
    if tls.insecure_skip_verify:
        common.validation_context.SetInParent()
    else:
        _verify(common, tls, _accounts(view, service, port))
    _name_from_request(options, tls)
    cluster.transport_socket.CopyFrom(
        socket(TLS, tls_pb2.UpstreamTlsContext(common_tls_context=common, sni=tls.sni))
    )
    cluster.metadata.filter_metadata[ISTIO]["alpn_override"] = "false"


def _verify(common: tls_pb2.CommonTlsContext, tls: ClientTls, peers: tuple[str, ...]) -> None:
    combined = common.combined_validation_context
    combined.default_validation_context.SetInParent()
    for peer in tls.subject_alt_names or peers:
        combined.default_validation_context.match_subject_alt_names.append(
            string_pb2.StringMatcher(exact=peer)
        )
    root = f"file-root:{tls.ca_certificates}" if tls.ca_certificates else SYSTEM_ROOTS
    combined.validation_context_sds_secret_config.CopyFrom(_file_secret(root))


def _file_secret(name: str) -> secret_pb2.SdsSecretConfig:
    """A secret that the agent reads from files: Envoy waits for it as long as for any other resource."""
    config = sds_config(name)
    config.sds_config.ClearField("initial_fetch_timeout")
    return config


def _name_from_request(options: _Options, tls: ClientTls) -> None:
    """Without a name in the rule, the request's host is asked for and must be in the certificate."""
    if tls.sni:
        return
    options.upstream_http_protocol_options.auto_sni = True
    if not tls.subject_alt_names and not tls.insecure_skip_verify:
        options.upstream_http_protocol_options.auto_san_validation = True
