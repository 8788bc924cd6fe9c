# SPDX-License-Identifier: Apache-2.0
"""Istio's configuration kinds: read from YAML, checked field by field, frozen. Pure.

``parse_documents`` never raises: what it cannot use it names, with file, line, object, field, reason and hint.
The rules are those of istiod's validation (spec/upstream.md 6.3, 6.4, 8.3).
"""

from upstream.config.mesh import MeshConfig, parse_mesh
from upstream.config.objects import Fault, Key, Kind, Object, Severity
from upstream.config.parse import parse_documents

__all__ = [
    "Fault",
    "Key",
    "Kind",
    "MeshConfig",
    "Object",
    "Severity",
    "parse_documents",
    "parse_mesh",
]
