# SPDX-License-Identifier: Apache-2.0
"""The bootstrap of gRPC clients that need no proxy. Pure; plain JSON, no Envoy message. Source: spec/agent.md 11.2.

Such a client speaks xDS to the agent's own socket. The path stands behind ``unix:///`` as it is, so a
relative one is read from the root: that is the container's working directory.
"""

from __future__ import annotations

import json
import posixpath
from typing import Any

from bootstrap.inputs import BootstrapInputs
from mesh import paths
from mesh.nodemeta import KEYS, is_empty

_LISTENER_TEMPLATE = "xds.istio.io/grpc/lds/inbound/%s"
_REFRESH = "900s"


def author(inputs: BootstrapInputs) -> str:
    """The file's text."""
    document: dict[str, Any] = {
        "xds_servers": [
            {
                "server_uri": f"unix:///{posixpath.normpath(inputs.sockets.xds)}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {
            "id": inputs.node_id,
            "metadata": _metadata(inputs),
            "locality": _locality(inputs),
        },
        "server_listener_resource_name_template": _LISTENER_TEMPLATE,
    }
    if inputs.grpc_certificates:
        document["certificate_providers"] = {"default": _watcher(inputs.grpc_certificates)}
    return json.dumps(document, indent=2)


def _metadata(inputs: BootstrapInputs) -> dict[str, Any]:
    """The typed keys only; the control plane answers this generator in gRPC's own dialect."""
    known = {key: value for key, value in inputs.metadata.items() if key in KEYS}
    told = {key: value for key, value in known.items() if not is_empty(key, value)}
    return {**told, "GENERATOR": "grpc"}


def _locality(inputs: BootstrapInputs) -> dict[str, str]:
    parts = {"region": inputs.region, "zone": inputs.zone, "sub_zone": inputs.sub_zone}
    return {name: value for name, value in parts.items() if value}


def _watcher(directory: str) -> dict[str, Any]:
    return {
        "plugin_name": "file_watcher",
        "config": {
            "certificate_file": posixpath.join(directory, paths.CERT_CHAIN),
            "private_key_file": posixpath.join(directory, paths.KEY),
            "ca_certificate_file": posixpath.join(directory, paths.ROOT_CERT),
            "refresh_interval": _REFRESH,
        },
    }
