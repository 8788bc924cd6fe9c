# SPDX-License-Identifier: Apache-2.0
"""What is said of one object's specification, by field."""

from __future__ import annotations

from typing import Any

from upstream.config import Kind, parse_documents

SECURITY = (Kind.PEER_AUTHENTICATION, Kind.AUTHORIZATION_POLICY)


def document(kind: Kind, spec: str, annotations: str = "{}") -> str:
    """A whole object in the namespace ``default``."""
    group = "security" if kind in SECURITY else "networking"
    return (
        f"apiVersion: {group}.istio.io/v1\nkind: {kind}\n"
        f"metadata: {{name: x, namespace: default, annotations: {annotations}}}\nspec: {spec}\n"
    )


def faults(kind: Kind, spec: str, annotations: str = "{}") -> dict[str, str]:
    """Field to reason of everything that is refused."""
    _, found = parse_documents(document(kind, spec, annotations), "x.yaml")
    return {one.field.removeprefix("spec."): one.reason for one in found if one.fatal}


def spec_of(kind: Kind, spec: str) -> Any:
    """The specification, which must be without fault."""
    objects, found = parse_documents(document(kind, spec), "x.yaml")
    assert not found, found
    return objects[0].spec
