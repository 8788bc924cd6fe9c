# SPDX-License-Identifier: Apache-2.0
"""The mesh's ports: who owns which. Pure table. Source: spec/agent.md 0.1, 9.4."""

from __future__ import annotations

ENVOY_ADMIN = 15000
OUTBOUND_CAPTURE = 15001
CAPTURE_PROBE = 15002
RESERVED_DEBUG = 15004
INBOUND_CAPTURE = 15006
HBONE = 15008
XDS_PLAINTEXT = 15010
XDS_TLS = 15012
UPSTREAM_MONITORING = 15014
UPSTREAM_WEBHOOKS = 15017
AGENT_STATUS = 15020
ENVOY_STATUS = 15021
DNS = 15053
ENVOY_PROMETHEUS = 15090

RESERVED_FOR_SCRAPE = frozenset(
    {
        ENVOY_ADMIN,
        OUTBOUND_CAPTURE,
        RESERVED_DEBUG,
        INBOUND_CAPTURE,
        HBONE,
        AGENT_STATUS,
        ENVOY_STATUS,
        DNS,
        ENVOY_PROMETHEUS,
    }
)
"""Ports that no application scrape target may name."""

PROXY_UID = 1337
"""The uid and gid under which Envoy runs in a pod, and which capture lets pass."""
