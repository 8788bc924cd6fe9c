# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from iptables.config import Ranges
from iptables.flags import read
from iptables.settings import (
    IPTABLES,
    NFT,
    HostFacts,
    Settings,
    build,
    loopback_fault,
    owner_fault,
    parse_prefix,
    port_fault,
)

HOST = HostFacts(("192.0.2.10", "2001:db8::10"))


def settings(*flags: str, host: HostFacts = HOST, **env: str) -> Settings:
    return build(read(flags, env), env, host)


def test_everything_wrong_is_said_at_once() -> None:
    found = settings(
        "--envoy-port=0",
        "--istio-inbound-ports=80,http,70000,*",
        "--proxy-uid=5-1",
        "--istio-exclude-interfaces=an-interface-too-long",
        "--istio-service-cidr=10.0.0.0/33",
        "--istio-service-exclude-cidr=*",
        "--istio-inbound-tproxy-mark=x",
        "--force-iptables-binary=new",
        ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR="10.0.0.0/8",
    )
    assert [fault.name for fault in found.faults] == [
        "FORCE_IPTABLES_BINARY",
        "--proxy-uid",
        "--envoy-port",
        "--istio-inbound-tproxy-mark",
        "--istio-inbound-ports",
        "--istio-inbound-ports",
        "--istio-service-cidr",
        "--istio-service-exclude-cidr",
        "--istio-exclude-interfaces",
        "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
    ]


def test_ipv6_follows_the_first_address_or_any_with_dual_stack() -> None:
    assert not settings().config.ipv6
    assert settings("--dual-stack").config.ipv6
    assert settings(host=HostFacts(("fe80::1", "::1", "2001:db8::1"))).config.ipv6


def test_ids_default_to_the_envoy_user_and_groups_to_ids() -> None:
    assert settings().config.proxy_uids == ("1337",)
    named = settings(host=HOST._replace(envoy_uid="42")).config
    assert (named.proxy_uids, named.proxy_gids) == (("42",), ("42",))
    assert settings("-u5,6").config.proxy_gids == ("5", "6")


def test_dns_without_servers_is_off_and_said() -> None:
    found = settings("--redirect-dns")
    assert not found.config.dns
    assert [warning.name for warning in found.warnings] == ["--redirect-dns"]


def test_unreadable_resolv_conf_is_a_fault_only_when_needed() -> None:
    host = HOST._replace(nameservers_fault="cannot be read")
    assert settings("--redirect-dns", host=host).faults
    assert not settings("--redirect-dns", "--capture-all-dns", host=host).faults


def test_legal_but_idle_settings_are_warned_about_once() -> None:
    found = settings(
        "--istio-local-exclude-ports=22",
        "--istio-service-cidr=10.1.0.0/16",
        "--istio-service-exclude-cidr=10.0.0.0/8",
        "--istio-inbound-interception-mode=tproxy",
    )
    assert not found.faults
    assert [warning.name for warning in found.warnings] == [
        "--istio-inbound-interception-mode",
        "--istio-local-exclude-ports",
        "--istio-service-cidr",
    ]


def test_ranges_keep_host_bits_and_know_loopback() -> None:
    assert settings("-i", "10.1.2.3/8,127.1.2.3/32,::1/128").config.outbound == Ranges(
        v4=("10.1.2.3/8", "127.1.2.3/32"), v6=("::1/128",), loopback=True
    )


@pytest.mark.parametrize(
    "text", ["1.2.3.4", "a/8", "1.2.3.4/33", "1.2.3.4/08", "fe80::1%eth0/64", "1.2.3.4/"]
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="ParsePrefix"):
        parse_prefix(text)


def test_ports_and_owners_as_iptables_takes_them() -> None:
    assert not any(port_fault(text, IPTABLES) for text in ("0", "80", "80:90", "http"))
    assert all(port_fault(text, IPTABLES) for text in ("90:80", "65536", "8 0", "-1", "80-90"))
    assert not port_fault("80-90", NFT)
    assert port_fault("80:90", NFT) == "not a port; nft writes a range as 80-90"
    assert not any(map(owner_fault, ("0", "100-200", "istio-proxy")))
    assert all(map(owner_fault, ("4294967295", "a b", "-1", "2-1")))
    assert not loopback_fault("127.0.0.0/8")
