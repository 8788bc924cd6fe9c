# SPDX-License-Identifier: Apache-2.0
"""The mesh config: defaults, what is read, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from upstream.config import MeshConfig, parse_mesh
from upstream.config.mesh import InboundMode
from upstream.config.sidecar import OutboundMode

DEFAULT = MeshConfig()


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "null"])
def test_nothing_is_istios_default(text: str) -> None:
    assert parse_mesh(text, "m") == (DEFAULT, ())
    assert (DEFAULT.trust_domain, DEFAULT.root_namespace) == ("cluster.local", "istio-system")
    assert DEFAULT.enable_auto_mtls
    assert DEFAULT.connect_timeout == timedelta(seconds=10)
    assert DEFAULT.outbound_traffic_policy.mode is OutboundMode.ALLOW_ANY


def test_what_decides_about_configuration() -> None:
    config, faults = parse_mesh(
        "{trustDomain: td, trustDomainAliases: [old], rootNamespace: root, enableAutoMtls: false,"
        " connectTimeout: 1s, protocolDetectionTimeout: 2s, tcpKeepalive: {probes: 3},"
        " outboundTrafficPolicy: {mode: REGISTRY_ONLY}, inboundTrafficPolicy: {mode: LOCALHOST},"
        " defaultHttpRetryPolicy: {attempts: 0}, localityLbSetting: {enabled: false},"
        " defaultProviders: {metrics: [prometheus]}}",
        "m",
    )
    assert faults == ()
    assert (config.trust_domain, config.trust_domain_aliases) == ("td", ("old",))
    assert config.outbound_traffic_policy.mode is OutboundMode.REGISTRY_ONLY
    assert config.inbound_traffic_policy.mode is InboundMode.LOCALHOST
    assert config.default_http_retry_policy is not None
    assert config.locality_lb_setting is not None
    assert config.default_providers.metrics == ("prometheus",)


def test_the_policy_without_a_mode_is_a_sidecars_default() -> None:
    config, _ = parse_mesh("outboundTrafficPolicy: {}", "m")
    assert config.outbound_traffic_policy.mode is OutboundMode.REGISTRY_ONLY


def test_fields_of_other_parts_are_only_mentioned() -> None:
    config, faults = parse_mesh("{accessLogFile: /dev/stdout, trustDomain: td, nosuch: 1}", "m")
    assert config.trust_domain == "td"
    assert [(one.field, one.fatal) for one in faults] == [
        ("accessLogFile", False),
        ("nosuch", False),
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [("trustDomain: [", ""), ("[]", ""), ("connectTimeout: soon", "connectTimeout")],
)
def test_refused(text: str, where: str) -> None:
    _, faults = parse_mesh(f"# first\n{text}", "m")
    (fault,) = faults
    assert (fault.fatal, fault.field, fault.source) == (True, where, "m")
    assert fault.line >= 2
