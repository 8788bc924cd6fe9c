# SPDX-License-Identifier: Apache-2.0
"""What ``--explain`` says is what happens: random packets through random settings, in real namespaces."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iptables import flags, settings
from iptables.config import CaptureConfig
from iptables.explain import ruleset
from iptables.packet import Packet
from iptables.settings import HostFacts
from iptables.walk import Do, Ruleset, decide
from tests.support.netlab import APP_PORTS, POD, Lab, Seen
from tests.support.netns import needs_netns

pytestmark = needs_netns

OUTSIDE = ("10.1.2.3", "10.200.0.9", "192.168.5.5", "2001:db8:1::5", "2001:db8:2::9")
OWN = ("127.0.0.1", "127.0.0.2", "::1", POD[4], POD[6])
PORTS = (53, 80, 443, 8080, 9090, 2222, 15008)
IDS = (0, 202, 888, 1000, 1337, 1338)
PROXY_PORTS = {"15001": "outbound", "15006": "inbound", "15053": "dns"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


def test_explanations_agree_with_the_kernel(lab: Lab) -> None:
    compare_many(lab, random.Random(random.getrandbits(64)), rounds=8, packets=25)


@pytest.mark.long
def test_explanations_agree_with_the_kernel_at_length(lab: Lab) -> None:
    compare_many(lab, random.Random(random.getrandbits(64)), rounds=40, packets=50)


def compare_many(lab: Lab, rng: random.Random, *, rounds: int, packets: int) -> None:
    for number in range(rounds):
        nft = number % 2 == 1
        words, env = random_settings(rng)
        words += ["--native-nftables"] if nft else []
        config = config_of(words, env)
        program = [sys.executable, "-m", "iptables.cli", *words]
        done = lab.pod.run(program, env=env)
        assert done.returncode == 0, done.stderr
        for _ in range(packets):
            packet = random_packet(rng)
            rules = ruleset(config, packet, nft=nft)
            assert observe(lab, packet) == predict(rules, packet), (words, env, packet)
        lab.pod.run([*program, "--cleanup-only"], env=env)


def random_settings(rng: random.Random) -> tuple[list[str], dict[str, str]]:
    """Each setting now and then, so that many are left out and some meet."""
    ranges = ["*", "10.1.0.0/16,2001:db8:1::/48", "10.0.0.0/8", "127.0.0.2/32", "::1/128", ""]
    choices = {
        "istio-inbound-ports": ["*", "*", "8080,443", "2222", ""],
        "istio-local-exclude-ports": ["9090", "80,2222", ""],
        "istio-service-cidr": ranges,
        "istio-service-exclude-cidr": ["10.1.2.0/24,2001:db8:1::/64", "10.200.0.9/32", ""],
        "istio-outbound-ports": ["443,9090", ""],
        "istio-local-outbound-ports-exclude": ["80", "53", ""],
        "istio-exclude-interfaces": ["eth9", "", "", "", "eth0"],
        "kube-virt-interfaces": ["tap0", "", "", "", "eth0"],
        "proxy-uid": ["1337", "1337,1338", "1000,1337"],
        "proxy-gid": ["", "1337", "888"],
        "istio-inbound-interception-mode": ["REDIRECT", "TPROXY"],
    }
    words = [f"--{name}={rng.choice(values)}" for name, values in choices.items()]
    words += [
        word
        for word in ("--redirect-dns", "--capture-all-dns", "--drop-invalid", "--dual-stack")
        if rng.random() < 0.5
    ]
    groups = rng.choice([{}, {"ISTIO_OUTBOUND_OWNER_GROUPS": "202,1337"}, {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "888"}])  # fmt: skip
    return words, dict(groups)


def config_of(words: list[str], env: dict[str, str]) -> CaptureConfig:
    found = settings.build(flags.read(words, env), env, HostFacts((POD[4], POD[6])))
    assert not found.faults
    return found.config


def random_packet(rng: random.Random) -> Packet:
    port = rng.choice(PORTS)
    if rng.random() < 0.3:
        family = rng.choice((4, 6))
        return Packet("tcp", "in", POD[family], port, source="10.77.0.1" if family == 4 else "2001:db8:77::1", interface="eth0")  # fmt: skip
    own = rng.random() < 0.4
    address = rng.choice(OWN if own else OUTSIDE)
    protocol = "tcp" if own or rng.random() < 0.7 else "udp"
    return Packet(
        protocol,
        "out",
        address,
        port if protocol == "tcp" else rng.choice((53, port)),
        interface="lo" if own else "eth0",
        uid=rng.choice(IDS),
        gid=rng.choice(IDS),
    )


def observe(lab: Lab, packet: Packet) -> str:
    if packet.direction == "in":
        seen = lab.into(packet.protocol, packet.destination, packet.port)
    else:
        seen = lab.out(
            packet.protocol, packet.destination, packet.port, uid=packet.uid, gid=packet.gid
        )
    check_original(packet, seen)
    return seen.by


def check_original(packet: Packet, seen: Seen) -> None:
    """Whoever got a captured connection can read where it was going."""
    if packet.protocol == "tcp" and seen.by in ("outbound", "inbound"):
        assert (seen.address, seen.port) == (packet.destination, packet.port)


def predict(rules: Ruleset, packet: Packet) -> str:
    decision = decide(rules, packet)
    match decision.verdict:
        case Do.REDIRECT:
            return PROXY_PORTS[decision.port]
        case Do.TPROXY:
            return "inbound"
        case Do.DROP:
            return "silence"
        case _ if packet.destination in OUTSIDE:
            return "world"
        case _:
            return "app" if packet.port in APP_PORTS else "refused"
