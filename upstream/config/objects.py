# SPDX-License-Identifier: Apache-2.0
"""One Istio object as it was read, and what may be wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

Spec_co = TypeVar("Spec_co", covariant=True)


class Kind(StrEnum):
    """The kinds that become configuration."""

    SERVICE_ENTRY = "ServiceEntry"
    WORKLOAD_ENTRY = "WorkloadEntry"
    VIRTUAL_SERVICE = "VirtualService"
    DESTINATION_RULE = "DestinationRule"
    SIDECAR = "Sidecar"
    PEER_AUTHENTICATION = "PeerAuthentication"
    AUTHORIZATION_POLICY = "AuthorizationPolicy"


class Key(NamedTuple):
    """What makes an object the same object after an edit."""

    kind: str
    """A ``Kind``, or a word for what is derived from objects."""
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Generic[Spec_co]):
    """An object that passed validation; ``spec`` is the frozen dataclass of its kind."""

    kind: Kind
    namespace: str
    name: str
    spec: Spec_co
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    """creationTimestamp, empty in most files; it sorts before every other."""
    source: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        return Key(self.kind, self.namespace, self.name)

    @property
    def order(self) -> tuple[str, str, str]:
        """Istio's order of all objects of a kind: oldest first, then by name, then namespace."""
        return (self.created, self.name, self.namespace)


class Severity(StrEnum):
    """Whether the object can still be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong in one file: where, in which object and field, why, and what to try."""

    source: str
    line: int
    object: str
    field: str
    reason: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    @property
    def fatal(self) -> bool:
        """Whether the file that holds it is not to be used."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        where = " ".join(part for part in (self.object, self.field) if part)
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.source}:{self.line}: {where}: {self.reason}{hint}"
