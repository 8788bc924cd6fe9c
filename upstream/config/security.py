# SPDX-License-Identifier: Apache-2.0
"""PeerAuthentication and AuthorizationPolicy. Pure. Source: istio.io/api security/v1beta1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from upstream.config.shared import SecuritySelector


class MtlsMode(StrEnum):
    """What an inbound connection must be."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mtls:
    """A mode, or UNSET to inherit."""

    mode: MtlsMode = MtlsMode.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAuthentication:
    """Whether peers must show a certificate of the mesh."""

    selector: SecuritySelector | None = None
    mtls: Mtls | None = None
    port_level_mtls: Mapping[str, Mtls] | None = None


class Action(StrEnum):
    """What a matching policy does."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who asks; each list is an alternative, all lists must agree."""

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    trust_domains: tuple[str, ...] = ()
    not_trust_domains: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    not_service_accounts: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is asked for."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """One alternative of who asks."""

    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class To:
    """One alternative of what is asked for."""

    operation: Operation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An attribute and the values that it may or may not have."""

    key: str = ""
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Matches when one source, one operation and all conditions do."""

    from_: tuple[From, ...] | None = None
    """None is everyone; nobody cannot be said."""
    to: tuple[To, ...] | None = None
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who decides in a CUSTOM policy."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRef:
    """An object that a policy is for instead of workloads by label."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    section_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationPolicy:
    """Who may do what with a workload."""

    target_ref: TargetRef | None = None
    target_refs: tuple[TargetRef, ...] = ()
    selector: SecuritySelector | None = None
    rules: tuple[Rule, ...] = ()
    action: Action = Action.ALLOW
    provider: Provider | None = None
