# SPDX-License-Identifier: Apache-2.0
"""From a file's text to objects and faults. Pure. Source: spec/upstream.md 8.1, 21.1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml import MappingNode, Node, ScalarNode

from upstream.config.check_destination_rule import check_destination_rule
from upstream.config.check_security import (
    check_authorization_policy,
    check_dry_run,
    check_peer_authentication,
)
from upstream.config.check_service_entry import check_service_entry, check_workload_entry
from upstream.config.check_sidecar import check_sidecar
from upstream.config.check_virtual_service import check_virtual_service
from upstream.config.decode import NULL, Decoder, Missing
from upstream.config.destination_rule import DestinationRule
from upstream.config.mesh import yaml_fault
from upstream.config.objects import Fault, Kind, Object, Severity
from upstream.config.problems import Check
from upstream.config.security import AuthorizationPolicy, PeerAuthentication
from upstream.config.service_entry import ServiceEntry, WorkloadEntry
from upstream.config.sidecar import Sidecar
from upstream.config.virtual_service import VirtualService

GROUPS: Final = frozenset(
    f"{group}.istio.io" for group in ("networking", "security", "telemetry", "extensions")
)
DEFAULT_NAMESPACE: Final = "default"

SPECS: Final[Mapping[Kind, tuple[type[Any], Check]]] = {
    Kind.SERVICE_ENTRY: (ServiceEntry, check_service_entry),
    Kind.WORKLOAD_ENTRY: (WorkloadEntry, check_workload_entry),
    Kind.VIRTUAL_SERVICE: (VirtualService, check_virtual_service),
    Kind.DESTINATION_RULE: (DestinationRule, check_destination_rule),
    Kind.SIDECAR: (Sidecar, check_sidecar),
    Kind.PEER_AUTHENTICATION: (PeerAuthentication, check_peer_authentication),
    Kind.AUTHORIZATION_POLICY: (AuthorizationPolicy, check_authorization_policy),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meta:
    """What of ``metadata`` matters here."""

    name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    creation_timestamp: str = ""


def parse_documents(text: str, source: str) -> tuple[tuple[Object[Any], ...], tuple[Fault, ...]]:
    """Objects of every document of ``text``, and what is wrong with the rest. Never raises.

    A document with a fatal fault gives no object. Kinds that nothing is generated from yet are skipped with a
    warning; so are documents that are not Istio's.
    """
    objects: list[Object[Any]] = []
    faults: list[Fault] = []
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as exc:
        return (), (yaml_fault(exc, source),)
    except (ValueError, RecursionError):
        return (), (_whole(source, "cannot be read as YAML text"),)
    for node in nodes:
        if node.tag == NULL:
            continue
        one, found = _object(node, source)
        faults += found
        if one is not None:
            objects.append(one)
    faults += _twice(objects, source)
    return tuple(objects), tuple(faults)


def _object(node: Node, source: str) -> tuple[Object[Any] | None, list[Fault]]:
    parts = dict(_entries(node))
    kind_text = _text(parts.get("kind"))
    meta_node = parts.get("metadata")
    decoder = Decoder(source, kind_text or "document")
    if not isinstance(node, MappingNode) or not kind_text:
        decoder.fault(node, "kind", "missing", "each document is one Istio object")
        return None, decoder.faults
    group = _text(parts.get("apiVersion")).partition("/")[0]
    if group not in GROUPS or kind_text not in set(Kind):
        reason = "is not acted on yet" if group in GROUPS else "is not an Istio kind"
        decoder.fault(node, "kind", reason, "it is left out", Severity.WARNING)
        return None, decoder.faults
    meta = _meta(meta_node, source, kind_text, decoder)
    if meta is None:
        return None, decoder.faults
    return _build(Kind(kind_text), meta, node, parts.get("spec"), source)


def _meta(node: Node | None, source: str, kind: str, decoder: Decoder) -> _Meta | None:
    """Kubernetes puts more into metadata than we read: only what is known here is looked at."""
    if not isinstance(node, MappingNode):
        decoder.faults.append(_whole(source, "metadata missing", kind))
        return None
    hints: dict[str, Any] = {"name": str, "namespace": str, "creationTimestamp": str}
    texts = Mapping[str, str]
    hints |= {"labels": texts, "annotations": texts}
    values = {
        key: decoder.decode(hints[key], value, f"metadata.{key}")
        for key, value in _entries(node)
        if key in hints and value.tag != NULL
    }
    if any(isinstance(value, Missing) for value in values.values()):
        return None
    if not values.get("name"):
        decoder.fault(node, "metadata.name", "missing")
        return None
    created = values.pop("creationTimestamp", "")
    return _Meta(**values, creation_timestamp=created)


def _build(
    kind: Kind, meta: _Meta, node: Node, spec_node: Node | None, source: str
) -> tuple[Object[Any] | None, list[Fault]]:
    namespace = meta.namespace or DEFAULT_NAMESPACE
    decoder = Decoder(source, f"{kind}/{namespace}/{meta.name}")
    cls, check = SPECS[kind]
    if spec_node is None or spec_node.tag == NULL:
        spec, at = cls(), node
    else:
        spec, at = decoder.record(cls, spec_node, "spec"), spec_node
    if not any(fault.fatal for fault in decoder.faults):
        for path, reason, hint in check(spec):
            where = f"spec.{path}" if path else "spec"
            decoder.fault(_locate(at, path), where, reason, hint)
        if kind is Kind.AUTHORIZATION_POLICY:
            for path, reason, hint in check_dry_run(spec, meta.annotations):
                decoder.fault(node, path, reason, hint)
    if any(fault.fatal for fault in decoder.faults):
        return None, decoder.faults
    built = Object(
        kind=kind,
        namespace=namespace,
        name=meta.name,
        spec=spec,
        labels=meta.labels,
        annotations=meta.annotations,
        created=meta.creation_timestamp,
        source=source,
        line=node.start_mark.line + 1,
    )
    return built, decoder.faults


def _locate(node: Node, path: str) -> Node:
    """The deepest node on ``path`` (``http[0].route``) that exists."""
    for step in path.replace("[", ".[").split("."):
        inner = _step(node, step)
        if inner is None:
            return node
        node = inner
    return node


def _step(node: Node, step: str) -> Node | None:
    if step.startswith("[") and isinstance(node, yaml.SequenceNode):
        items: list[Node] = node.value
        index = step[1:-1]
        return items[int(index)] if index.isdigit() and int(index) < len(items) else None
    return dict(_entries(node)).get(step.strip("[]"))


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    if isinstance(node, MappingNode):
        yield from ((str(key.value), value) for key, value in node.value)


def _text(node: Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _twice(objects: list[Object[Any]], source: str) -> Iterator[Fault]:
    """The same object twice in a file is a slip: which one counts would be a guess."""
    seen: dict[object, int] = {}
    for one in objects:
        if one.key in seen:
            yield Fault(
                source=source,
                line=one.line,
                object=str(one.key),
                field="metadata.name",
                reason=f"is also defined at line {seen[one.key]}",
                hint="give one of them another name or remove it",
            )
        seen.setdefault(one.key, one.line)


def _whole(source: str, reason: str, name: str = "document") -> Fault:
    return Fault(source=source, line=1, object=name, field="", reason=reason)
