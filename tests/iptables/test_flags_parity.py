# SPDX-License-Identifier: Apache-2.0
"""The peer's flags: short form, variables, kind and default of each. Source: spec/agent.md 10.1."""

from __future__ import annotations

import pytest

from iptables.flags import BY_NAME, FLAGS, Kind, Value

PEER: list[tuple[str, str, tuple[str, ...], Value]] = [
    ("envoy-port", "p", (), "15001"),
    ("inbound-capture-port", "z", ("INBOUND_CAPTURE_PORT",), "15006"),
    ("inbound-tunnel-port", "e", ("INBOUND_TUNNEL_PORT",), "15008"),
    ("proxy-uid", "u", ("PROXY_UID",), ""),
    ("proxy-gid", "g", ("PROXY_GID",), ""),
    ("istio-inbound-interception-mode", "m", ("ISTIO_INBOUND_INTERCEPTION_MODE",), ""),
    ("istio-inbound-ports", "b", ("ISTIO_INBOUND_PORTS",), ""),
    ("istio-local-exclude-ports", "d", ("ISTIO_LOCAL_EXCLUDE_PORTS",), ""),
    ("istio-exclude-interfaces", "c", ("ISTIO_EXCLUDE_INTERFACES",), ""),
    ("istio-service-cidr", "i", ("ISTIO_SERVICE_CIDR",), ""),
    ("istio-service-exclude-cidr", "x", ("ISTIO_SERVICE_EXCLUDE_CIDR",), ""),
    ("istio-outbound-ports", "q", ("ISTIO_OUTBOUND_PORTS",), ""),
    ("istio-local-outbound-ports-exclude", "o", ("ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE",), ""),
    ("kube-virt-interfaces", "k", ("KUBE_VIRT_INTERFACES",), ""),
    ("istio-inbound-tproxy-mark", "t", ("ISTIO_INBOUND_TPROXY_MARK",), "1337"),
    ("istio-inbound-tproxy-route-table", "r", ("ISTIO_INBOUND_TPROXY_ROUTE_TABLE",), "133"),
    ("dry-run", "n", ("DRY_RUN",), False),
    ("iptables-probe-port", "", ("IPTABLES_PROBE_PORT",), 15002),
    ("probe-timeout", "", ("PROBE_TIMEOUT",), 5.0),
    ("skip-rule-apply", "", ("SKIP_RULE_APPLY",), False),
    ("run-validation", "", ("RUN_VALIDATION",), False),
    ("redirect-dns", "", ("REDIRECT_DNS", "ISTIO_META_DNS_CAPTURE"), False),
    ("drop-invalid", "", ("DROP_INVALID", "INVALID_DROP"), False),
    ("dual-stack", "", ("DUAL_STACK", "ISTIO_DUAL_STACK"), False),
    ("capture-all-dns", "", ("CAPTURE_ALL_DNS",), False),
    ("network-namespace", "", ("NETWORK_NAMESPACE",), ""),
    ("cni-mode", "", ("CNI_MODE",), False),
    ("reconcile", "", ("RECONCILE",), False),
    ("cleanup-only", "", ("CLEANUP_ONLY",), False),
    ("force-apply", "", ("FORCE_APPLY",), False),
    ("native-nftables", "", ("NATIVE_NFTABLES",), False),
    ("force-iptables-binary", "", ("FORCE_IPTABLES_BINARY",), ""),
]


@pytest.mark.parametrize(("name", "short", "variables", "default"), PEER)
def test_as_the_peer_has_it(
    name: str, short: str, variables: tuple[str, ...], default: Value
) -> None:
    flag = BY_NAME[name]
    assert (flag.short, flag.variables, flag.default) == (short, variables, default)
    assert (
        flag.kind
        is {bool: Kind.SWITCH, str: Kind.TEXT, int: Kind.PORT, float: Kind.DURATION}[type(default)]
    )
    assert not flag.ours


def test_whatever_else_there_is_says_that_it_is_ours() -> None:
    logging = {flag.name for flag in FLAGS if flag.name.startswith("log_") or flag.name == "vklog"}
    others = {flag.name for flag in FLAGS} - {row[0] for row in PEER} - logging - {"help"}
    assert all(BY_NAME[name].ours for name in others)
    assert all(
        variable.startswith("PILOT_IPTABLES_")
        for name in others
        for variable in BY_NAME[name].variables
    )
