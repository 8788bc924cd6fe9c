# SPDX-License-Identifier: Apache-2.0
"""Real packets for each interception mode, address family and backend: what is captured, by whom, and what is not.

A pod and the world, with listeners where the proxy, the resolver and the app would be. Who answers says where the
packet went; the addresses are those that the kernel shows to the one who answered. Needs root for namespaces.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.support.netlab import POD, WORLD, Lab, Seen
from tests.support.netns import needs_netns
from tests.support.nettools import words

pytestmark = needs_netns

SERVERS = {4: "10.96.0.10", 6: "2001:db8:96::10"}
OTHER_SERVER = {4: "10.96.0.11", 6: "2001:db8:96::11"}
FAR = {4: "10.1.2.3", 6: "2001:db8:1::5"}
EXCLUDED = {4: "10.200.0.9", 6: "2001:db8:200::9"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
PASSTHROUGH = {4: "127.0.0.6", 6: "::6"}
PROXY, FREE_GROUP, MARK = 1337, 888, 1337
FAMILIES = {"v4": (4,), "v6": (6,), "dual": (4, 6)}
MODES = ("REDIRECT", "TPROXY")
BACKENDS = {"iptables": (), "nftables": ("--native-nftables",)}
CASES = [
    pytest.param(mode, FAMILIES[name], BACKENDS[backend], id=f"{mode}-{name}-{backend}")
    for mode, name, backend in product(MODES, FAMILIES, BACKENDS)
]
each_case = pytest.mark.parametrize(("mode", "lab", "backend"), CASES, indirect=["lab"])
each_dual_case = pytest.mark.parametrize(
    ("mode", "lab", "backend"),
    [case for case in CASES if case.values[1] == FAMILIES["dual"]],
    indirect=["lab"],
)


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    families = request.param
    servers = [SERVERS[family] for family in families]
    with Lab(tmp_path, nameservers=servers, families=families) as made:
        yield made


def capture(lab: Lab, mode: str, backend: tuple[str, ...], *more: str) -> list[str]:
    """Set it up; the words that did."""
    done = words(
        f"--istio-inbound-interception-mode={mode}",
        "--istio-inbound-ports=*",
        "--istio-local-exclude-ports=2222",
        "--istio-service-cidr=*",
        *(["--dual-stack"] if len(lab.families) > 1 else []),
        *backend,
        *more,
    )
    program = lab.pod.run(done, env={"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": str(FREE_GROUP)})
    assert program.returncode == 0, program.stderr
    return done


@each_case
def test_what_goes_where(lab: Lab, mode: str, backend: tuple[str, ...]) -> None:
    excluded = ",".join(f"{EXCLUDED[family]}/{32 if family == 4 else 128}" for family in (4, 6))
    capture(
        lab,
        mode,
        backend,
        f"--istio-service-exclude-cidr={excluded}",
        "--istio-local-outbound-ports-exclude=9999",
        "--redirect-dns",
    )
    for family in lab.families:
        inbound(lab, mode, family)
        outbound(lab, family)
        within_the_pod(lab, mode, family)
        names(lab, family)


def inbound(lab: Lab, mode: str, family: int) -> None:
    pod = POD[family]
    seen = lab.into("tcp", pod, 8080)
    assert (seen.by, seen.address, seen.port) == ("inbound", pod, 8080)
    if (
        mode == "TPROXY"
    ):  # nothing was translated: the socket itself has the address that was asked for
        assert (seen.own, seen.own_port, seen.caller) == (pod, 8080, WORLD[family])
    else:
        assert (seen.own, seen.own_port) == (pod, 15006)
    assert lab.into("tcp", pod, 4321).by == "inbound"  # also where nobody listens
    assert lab.into("tcp", pod, 2222) == direct("app", pod, 2222, caller=WORLD[family])
    # The peer leaves the tunnel's port alone where addresses are translated; TPROXY takes it with all others.
    assert lab.into("tcp", pod, 15008).by == ("inbound" if mode == "TPROXY" else "refused")


def direct(by: str, address: str, port: int, *, caller: str) -> Seen:
    """An answer from where the connection was going anyway."""
    return Seen(by, address, port, address, port, caller)


def outbound(lab: Lab, family: int) -> None:
    far = FAR[family]
    seen = lab.out("tcp", far, 5432)
    assert (seen.by, seen.address, seen.port) == ("outbound", far, 5432)
    assert seen.own_port == 15001
    assert lab.out("tcp", far, 5432, uid=PROXY, gid=PROXY).by == "world"
    assert lab.out("tcp", far, 5432, uid=0, gid=PROXY).by == "world"
    assert lab.out("tcp", far, 5432, gid=FREE_GROUP).by == "world"
    assert lab.out("tcp", far, 9999).by == "world"
    assert lab.out("udp", far, 5432).by == "world"
    assert lab.out("tcp", EXCLUDED[family], 5432).by == "world"


def within_the_pod(lab: Lab, mode: str, family: int) -> None:
    pod, loopback = POD[family], LOOPBACK[family]
    assert lab.out("tcp", loopback, 8080).by == "app"
    assert lab.out("tcp", pod, 8080).by == "app"
    assert lab.out("tcp", loopback, 8080, uid=PROXY, gid=PROXY).by == "app"
    again = lab.out("tcp", pod, 8080, uid=PROXY, gid=PROXY)
    assert (again.by, again.address, again.port) == ("inbound", pod, 8080)
    to_app = lab.out("tcp", pod, 8080, uid=PROXY, gid=PROXY, source=PASSTHROUGH[family])
    assert to_app == direct("app", pod, 8080, caller=PASSTHROUGH[family])


def names(lab: Lab, family: int) -> None:
    server, other = SERVERS[family], OTHER_SERVER[family]
    for protocol in ("udp", "tcp"):
        assert lab.out(protocol, server, 53).by == "dns"
        assert lab.out(protocol, server, 53, uid=PROXY, gid=PROXY).by == "world"
    assert lab.out("udp", other, 53).by == "world"
    assert lab.out("tcp", other, 53).by == "outbound"


@each_dual_case
def test_excluded_interfaces_and_all_dns(lab: Lab, mode: str, backend: tuple[str, ...]) -> None:
    done = capture(lab, mode, backend, "--redirect-dns", "--capture-all-dns")
    for family in lab.families:
        for protocol in ("udp", "tcp"):
            assert lab.out(protocol, OTHER_SERVER[family], 53).by == "dns"
            assert lab.out(protocol, OTHER_SERVER[family], 53, uid=PROXY, gid=PROXY).by == "world"
    lab.pod.must(*done, "--cleanup-only")
    capture(lab, mode, backend, "--istio-exclude-interfaces=eth0")
    for family in lab.families:
        assert lab.into("tcp", POD[family], 8080).by == "app"
        assert lab.out("tcp", FAR[family], 5432).by == "world"


def leaks(lab: Lab) -> set[int]:
    """Families of which a connection of the app gets out, or one gets in, past the proxy."""
    found = set()
    for family in lab.families:
        far, pod = FAR[family], POD[family]
        out = [lab.out("tcp", far, port, uid=uid).by for port in (80, 443, 53) for uid in (0, 1000)]
        into = [lab.into("tcp", pod, port).by for port in (8080, 9090)]
        if set(out) != {"outbound"} or set(into) != {"inbound"}:
            found.add(family)
    return found


@each_case
def test_no_family_escapes(lab: Lab, mode: str, backend: tuple[str, ...]) -> None:
    """Before capture every one does, after it none, and after cleaning every one again."""
    assert leaks(lab) == set(lab.families)
    done = capture(lab, mode, backend)
    assert leaks(lab) == set()
    lab.pod.must(*done, "--cleanup-only")
    assert leaks(lab) == set(lab.families)


@pytest.mark.parametrize("lab", [(4, 6)], indirect=True, ids=["dual"])
def test_the_other_family_leaks_unless_both_are_asked_for(lab: Lab) -> None:
    """The peer's way, and the proof that the check above can fail."""
    done = words("--istio-inbound-ports=*", "--istio-service-cidr=*")
    lab.pod.must(*done)
    assert leaks(lab) == {6}
    lab.pod.must(*done, "--cleanup-only")
    lab.pod.must(*done, "--native-nftables")
    assert leaks(lab) == set()  # tables of both families: whatever names no address


@pytest.mark.parametrize("lab", [(4,)], indirect=True, ids=["v4"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_packets_out_of_any_connection_are_dropped(lab: Lab, backend: str) -> None:
    lab.pod.must(*words("--drop-invalid", *BACKENDS[backend]))
    lab.world.must(sys.executable, "-c", SYN_AND_FIN)
    chains = {
        "iptables": ("ip", "mangle", "ISTIO_DROP"),
        "nftables": ("inet", "istio-proxy-mangle", "istio-drop"),
    }
    listing = lab.pod.must("nft", "list", "chain", *chains[backend])
    assert "counter packets 1 bytes 40 drop" in listing


SYN_AND_FIN = f"""
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
head = struct.pack('!HHIIBBHHH', 4000, 8080, 1, 0, 5 << 4, 3, 1024, 0, 0)
pseudo = socket.inet_aton('{WORLD[4]}') + socket.inet_aton('{POD[4]}') + struct.pack('!BBH', 0, 6, len(head))
words = struct.unpack('!%dH' % (len(pseudo + head) // 2), pseudo + head)
total = sum(words)
total = (total & 0xffff) + (total >> 16)
check = ~((total & 0xffff) + (total >> 16)) & 0xffff
s.sendto(head[:16] + struct.pack('!H', check) + head[18:], ('{POD[4]}', 0))
"""
