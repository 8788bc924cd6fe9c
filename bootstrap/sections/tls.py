# SPDX-License-Identifier: Apache-2.0
"""TLS of the static clusters and listeners; keys come over SDS. Source: spec/agent.md 2.7, appendix H."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import TransportSocket
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from bootstrap.sections.messages import sds_source

_TLS = "envoy.transport_sockets.tls"
_CERTIFICATE = "default"
_ROOT = "ROOTCA"


def upstream_tls(
    settings: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    *,
    default_sni: str,
    http2: bool = True,
) -> TransportSocket | None:
    """The transport socket for ClientTLSSettings, or None for plaintext. HTTP/1 peers get no ALPN."""
    mode = (settings or {}).get("mode", "DISABLE")
    if settings is None or mode == "DISABLE":
        return None
    sni = settings.get("sni", "")
    if mode == "ISTIO_MUTUAL":
        common = _mesh_context(settings)
        alpn = ["istio", "h2"]
        sni = sni or default_sni
    else:
        common = _file_context(settings, metadata, mutual=mode == "MUTUAL")
        alpn = ["h2"]
    if http2:
        common.alpn_protocols = alpn
    context = UpstreamTlsContext(common_tls_context=common, sni=sni)
    return TransportSocket(name=_TLS, typed_config=AnyMessage.pack(context))


def downstream_mesh_tls() -> TransportSocket:
    """Workload certificate here, a certificate of the mesh required from the caller."""
    common = CommonTlsContext(
        tls_certificate_sds_secret_configs=[_secret(_CERTIFICATE)],
        combined_validation_context=_validation({}, _secret(_ROOT)),
    )
    context = DownstreamTlsContext(require_client_certificate=True, common_tls_context=common)
    return TransportSocket(name=_TLS, typed_config=AnyMessage.pack(context))


def _mesh_context(settings: Mapping[str, Any]) -> CommonTlsContext:
    return CommonTlsContext(
        tls_certificate_sds_secret_configs=[_secret(_CERTIFICATE, wait=True)],
        combined_validation_context=_validation(settings, _secret(_ROOT, wait=True)),
    )


def _file_context(
    settings: Mapping[str, Any], metadata: Mapping[str, Any], *, mutual: bool
) -> CommonTlsContext:
    root = metadata.get("TLS_CLIENT_ROOT_CERT") or settings.get("caCertificates", "")
    roots = _secret(f"file-root:{root}") if root else None
    common = CommonTlsContext(combined_validation_context=_validation(settings, roots))
    chain = metadata.get("TLS_CLIENT_CERT_CHAIN") or settings.get("clientCertificate", "")
    key = metadata.get("TLS_CLIENT_KEY") or settings.get("privateKey", "")
    if mutual and chain and key:
        common.tls_certificate_sds_secret_configs = [_secret(f"file-cert:{chain}~{key}")]
    return common


def _validation(
    settings: Mapping[str, Any], roots: SdsSecretConfig | None
) -> CommonTlsContextCombinedCertificateValidationContext:
    names = [StringMatcher(exact=name) for name in settings.get("subjectAltNames") or []]
    return CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_subject_alt_names=names),
        validation_context_sds_secret_config=roots,
    )


def _secret(name: str, *, wait: bool = False) -> SdsSecretConfig:
    return SdsSecretConfig(name=name, sds_config=sds_source(wait=wait))
