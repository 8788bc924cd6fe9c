# SPDX-License-Identifier: Apache-2.0
"""Bootstraps under test: authored here, read by protobuf's own JSON parser, judged by the real Envoy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2

# Known to the parser once imported: the extensions that a bootstrap of ours may hold.
from envoy.config.metrics.v3 import metrics_service_pb2, stats_pb2
from envoy.config.trace.v3 import datadog_pb2, lightstep_pb2, zipkin_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from envoy.extensions.bootstrap.internal_listener.v3 import internal_listener_pb2
from envoy.extensions.compression.brotli.compressor.v3 import brotli_pb2
from envoy.extensions.compression.gzip.compressor.v3 import gzip_pb2
from envoy.extensions.compression.zstd.compressor.v3 import zstd_pb2
from envoy.extensions.filters.http.compressor.v3 import compressor_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.resource_monitors.downstream_connections.v3 import (
    downstream_connections_pb2,
)
from envoy.extensions.resource_monitors.fixed_heap.v3 import fixed_heap_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format
from udpa.type.v1 import typed_struct_pb2

from bootstrap.inputs import BootstrapInputs
from tests.support.envoy import find_envoy

EXTENSIONS = (
    brotli_pb2,
    compressor_pb2,
    datadog_pb2,
    downstream_connections_pb2,
    file_pb2,
    fixed_heap_pb2,
    gzip_pb2,
    http_connection_manager_pb2,
    http_protocol_options_pb2,
    internal_listener_pb2,
    lightstep_pb2,
    metrics_service_pb2,
    proxy_protocol_pb2,
    router_pb2,
    stats_pb2,
    tls_inspector_pb2,
    tls_pb2,
    typed_struct_pb2,
    zipkin_pb2,
    zstd_pb2,
)


def inputs_for(**fields: Any) -> BootstrapInputs:
    """Inputs of a plain sidecar, with ``fields`` replaced."""
    plain: dict[str, Any] = {
        "node_id": "sidecar~10.0.0.1~app.ns~ns.svc.cluster.local",
        "cluster": "app.ns",
        "output": "/etc/istio/proxy/envoy-rev.json",
        "proxy_config": {"proxyAdminPort": 15000, "statusPort": 15020},
        "instance_ips": ("10.0.0.1",),
    }
    return BootstrapInputs(**{**plain, **fields})


def authored(inputs: BootstrapInputs) -> str:
    """The bootstrap for ``inputs``, made in this process."""
    from bootstrap.author import author

    return author(inputs).files[inputs.output]


def parsed(text: str) -> bootstrap_pb2.Bootstrap:
    """``text`` as protobuf reads it: an unknown or misspelt name is an error."""
    return json_format.Parse(text, bootstrap_pb2.Bootstrap())


def stats_lists(document: dict[str, Any]) -> dict[str, list[str]]:
    """Prefixes, suffixes and regular expressions of the inclusion list, each in order."""
    patterns = document["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"]
    return {
        "prefixes": [each["prefix"] for each in patterns if "prefix" in each],
        "suffixes": [each["suffix"] for each in patterns if "suffix" in each],
        "regexps": [each["safe_regex"]["regex"] for each in patterns if "safe_regex" in each],
    }


def validate(text: str, directory: Path) -> None:
    """The real Envoy loads ``text`` or the test fails with its reason.

    What only Istio's own Envoy knows (a type of package istio) is taken out first.
    """
    document = json.loads(text)
    document["bootstrap_extensions"] = [
        extension
        for extension in document["bootstrap_extensions"]
        if "/istio." not in extension["typed_config"]["type_url"]
    ]
    path = directory / "bootstrap.json"
    path.write_text(json.dumps(document))
    command = [find_envoy(), "--mode", "validate", "-l", "error", "-c", str(path)]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
