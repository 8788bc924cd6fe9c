# SPDX-License-Identifier: Apache-2.0
"""A pod and the world outside, as two network namespaces with a wire between them, to send real packets through rules.

As a program (``python -m tests.support.netlab pod|world``) it is what lives inside: listeners that answer who they are
and where the connection was going, and a client told over standard input what to send, as which user.
As a module it is the test's handle: ``Lab.out(...)``, ``Lab.into(...)``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.netns import REPO, Netns

POD = {4: "10.77.0.2", 6: "2001:db8:77::2"}
WORLD = {4: "10.77.0.1", 6: "2001:db8:77::1"}
PREFIX = {4: 24, 6: 64}
APP_PORTS = (8080, 9090, 2222)
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
SINK = 7000
PROXY = 1337
"""Who the listeners in the pod belong to: rules for the resolver's answers go by owner."""
OUTBOUND, INBOUND, DNS = 15001, 15006, 15053
SO_ORIGINAL_DST, IP_TRANSPARENT, IPV6_TRANSPARENT = 80, 19, 75
PATIENCE = 1.0


class Seen(NamedTuple):
    """Who answered (``outbound``, ``inbound``, ``dns``, ``app``, ``world``, ``refused``, ``silence``), and what the
    kernel told the one who answered: the address that was asked for, its socket's own address, the caller's."""

    by: str
    address: str = ""
    port: int = 0
    own: str = ""
    own_port: int = 0
    caller: str = ""


class Lab:
    """Pod and world; both live until the block ends."""

    def __init__(
        self,
        folder: Path,
        *,
        nameservers: list[str] | None = None,
        families: tuple[int, ...] = (4, 6),
    ) -> None:
        self.families = families
        self.pod = Netns([], nameservers or [], _sub(folder, "pod"))
        self.world = Netns([], [], _sub(folder, "world"))
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.pod)
            stack.enter_context(self.world)
            self._wire()
            self._inside = {
                "pod": stack.enter_context(_Inside("pod", self.pod)),
                "world": stack.enter_context(_Inside("world", self.world)),
            }
            self._warm_up()
            self._stack = stack.pop_all()
        return self

    def _warm_up(self) -> None:
        """Neighbours find each other with a first packet; it may be lost."""
        for family in self.families:
            tries = (self.out("tcp", WORLD[family], 1).by for _ in range(10))
            assert "world" in tries

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _wire(self) -> None:
        pod, world = self.pod, self.world
        pod.must(
            "ip",
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            str(world.pid),
        )
        for side, addresses in ((pod, POD), (world, WORLD)):
            side.must("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
            for family in self.families:
                words = ["ip", f"-{family}", "addr", "add", f"{addresses[family]}/{PREFIX[family]}", "dev", "eth0"]  # fmt: skip
                side.must(*words, *(["nodad"] if family == 6 else []))
            side.must("ip", "link", "set", "eth0", "up")
        for family in self.families:
            tool = "iptables-nft" if family == 4 else "ip6tables-nft"
            pod.must("ip", f"-{family}", "route", "add", "default", "via", WORLD[family])
            world.must(
                "ip", f"-{family}", "route", "add", "local", "default", "dev", "lo", "table", "9"
            )
            world.must("ip", f"-{family}", "rule", "add", "iif", "eth0", "lookup", "9")
            for protocol in ("tcp", "udp"):
                world.must(tool, "-t", "nat", "-A", "PREROUTING", "-i", "eth0", "-p", protocol, "-j", "REDIRECT", "--to-ports", str(SINK))  # fmt: skip

    def out(
        self,
        protocol: str,
        address: str,
        port: int,
        *,
        uid: int = 1000,
        gid: int = 1000,
        source: str = "",
        mark: int = 0,
    ) -> Seen:
        """A connection that a process in the pod opens."""
        return self._inside["pod"].ask(protocol, address, port, uid, gid, source, mark)

    def into(self, protocol: str, address: str, port: int) -> Seen:
        """A connection that comes to the pod."""
        return self._inside["world"].ask(protocol, address, port, 0, 0, "", 0)


def _sub(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


class _Inside:
    """The program in one namespace."""

    def __init__(self, role: str, netns: Netns) -> None:
        self._words = [*netns.enter, sys.executable, "-m", "tests.support.netlab", role]

    def __enter__(self) -> Self:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO)}
        self._process = subprocess.Popen(
            self._words,
            cwd=REPO,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == ["ready"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def ask(self, *what: object) -> Seen:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return Seen(*self._answer())

    def _answer(self) -> list[Any]:
        assert self._process.stdout is not None
        return list(json.loads(self._process.stdout.readline()))


# What lives inside


def main(role: str) -> None:
    serve = _Serve()
    if role == "pod":
        for name, port in (("outbound", OUTBOUND), ("inbound", INBOUND), ("dns", DNS)):
            serve.listen(name, port)
        for port in APP_PORTS:
            serve.listen("app", port)
    else:
        serve.listen("world", SINK)
    print(json.dumps(["ready"]), flush=True)
    with contextlib.suppress(EOFError):
        serve.forever()


class _Serve:
    """Listeners, the client and standard input, all in one loop."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)

    def listen(self, name: str, port: int) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                listener = _owned_socket(family, kind, PROXY, PROXY)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family is socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if name == "inbound":
                    option = (socket.IPPROTO_IP, IP_TRANSPARENT) if family is socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)  # fmt: skip
                    listener.setsockopt(*option, 1)
                # An answer to a datagram must come from the address that was asked: the resolver's is loopback.
                listener.bind((LOOPBACK[family] if name == "dns" else "", port))
                if kind is socket.SOCK_STREAM:
                    listener.listen(64)
                self._selector.register(listener, selectors.EVENT_READ, name)

    def forever(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(json.dumps(self._send(*json.loads(line))), flush=True)
                else:
                    self._serve(key.data, key.fileobj)

    def _serve(self, name: str, listener: Any) -> None:
        with contextlib.suppress(OSError):
            if listener.type is socket.SOCK_DGRAM:
                _, sender = listener.recvfrom(64)
                listener.sendto(json.dumps([name]).encode(), sender)
                return
            connection, _ = listener.accept()
            with connection:
                own, caller = connection.getsockname(), connection.getpeername()
                seen = [name, *original(connection), *own[:2], caller[0]]
                connection.sendall(json.dumps(seen).encode())

    def _send(
        self, protocol: str, address: str, port: int, uid: int, gid: int, source: str, mark: int
    ) -> list[Any]:
        client = self._client(protocol, address, uid, gid)
        if mark:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        if source:
            client.bind((source, 0))
        with client, selectors.DefaultSelector() as selector:
            client.setblocking(False)
            client.connect_ex((address, port))
            if protocol == "udp":
                client.send(b"?")
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    selector.register(key.fileobj, selectors.EVENT_READ, key.data)
            selector.register(client, selectors.EVENT_READ, None)
            while events := selector.select(PATIENCE):
                for key, _ in events:
                    if key.data is not None:
                        self._serve(key.data, key.fileobj)
                        continue
                    try:
                        return list(json.loads(client.recv(256)))
                    except ConnectionError:
                        return ["refused"]
        return ["silence"]

    def _client(self, protocol: str, address: str, uid: int, gid: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return _owned_socket(
            family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM, uid, gid
        )


def _owned_socket(
    family: socket.AddressFamily, kind: socket.SocketKind, uid: int, gid: int
) -> socket.socket:
    """A socket that belongs to that user and group, whoever uses it later."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        return socket.socket(family, kind)
    finally:
        os.seteuid(0)
        os.setegid(0)


def original(connection: socket.socket) -> tuple[str, int]:
    """Where the connection was going: redirected ones by the kernel's note, others by their own address."""
    own = connection.getsockname()[:2]
    v6 = connection.family is socket.AF_INET6
    level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
    try:
        raw = connection.getsockopt(level, SO_ORIGINAL_DST, 28)
    except OSError:
        return str(own[0]), int(own[1])
    address = socket.inet_ntop(connection.family, raw[8:24] if v6 else raw[4:8])
    return address, int(struct.unpack_from("!H", raw, 2)[0])


if __name__ == "__main__":
    main(sys.argv[1])
