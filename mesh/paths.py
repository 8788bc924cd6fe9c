# SPDX-License-Identifier: Apache-2.0
"""Well-known files and sockets, relative to the working directory as the peer has them. Pure table.

In the container the working directory is ``/``. Source: spec/agent.md 0.1, 0.2.
"""

from __future__ import annotations

CONFIG_DIR = "./etc/istio/proxy"
MESH_CONFIG = "./etc/istio/config/mesh"
POD_LABELS = "./etc/istio/pod/labels"
POD_ANNOTATIONS = "./etc/istio/pod/annotations"

CERTS_DIR = "./etc/certs"
CITADEL_ROOT = "./var/run/secrets/istio/root-cert.pem"
CRL = "/var/run/secrets/istio/crl/ca-crl.pem"
JWT = "./var/run/secrets/tokens/istio-token"

WORKLOAD_SOCKET_DIR = "./var/run/secrets/workload-spiffe-uds"
WORKLOAD_SOCKET_NAME = "socket"
CREDENTIAL_SOCKET = "./var/run/secrets/credential-uds/socket"
FILES_SOCKET = "./var/run/secrets/credential-uds/files-socket"
WORKLOAD_CREDENTIALS_DIR = "./var/run/secrets/workload-spiffe-credentials"

XDS_SOCKET_NAME = "XDS"
ADMIN_SOCKET_NAME = "ADMIN"
HOT_RESTART_SOCKET_NAME = "HOT"
REHEARSAL_ADMIN_NAME = "REHEARSAL"
BOOTSTRAP_NAME = "envoy-rev.json"

ENVOY = "/usr/local/bin/envoy"
STATE_DIR = "/var/lib/istio/data/pilothouse"

CERT_CHAIN = "cert-chain.pem"
KEY = "key.pem"
ROOT_CERT = "root-cert.pem"
