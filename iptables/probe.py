# SPDX-License-Identifier: Apache-2.0
"""Shows with a connection that traffic is captured: the only module of the room that opens TCP sockets.

A listener stands where the proxy will; a client with the proxy's user connects to an address and a port where nobody
listens. Captured, it reaches the listener, which reads the original destination from the kernel and answers with its
port. The user matters: for anyone else, loopback traffic passes by the proxy. Source: spec/agent.md 10.7.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterator

from iptables.config import CaptureConfig
from mesh import log as logs
from mesh.errors import CaptureFailed, ExitCode

log = logs.get("iptables")

SO_ORIGINAL_DST = 80
INTERVAL = 1.0
TARGETS = {socket.AF_INET: "127.0.0.6", socket.AF_INET6: "::6"}
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class NotCaptured(CaptureFailed):
    """Rules are set, yet the probe went elsewhere."""

    exit_code = ExitCode.VALIDATION_FAILED
    hint = (
        "another program may have changed the rules; with the CNI plugin, its repair controller has to "
        "mend or restart this pod"
    )


def validate(config: CaptureConfig, *, port: int, timeout: float) -> None:
    """Try until a probe of the host's family is captured. NotCaptured when none was in time."""
    family = socket.AF_INET6 if ":" in config.host_ip else socket.AF_INET
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        listeners = list(_listeners(family, (config.proxy_port, config.inbound_capture_port)))
        if not listeners:
            raise NotCaptured("neither of the proxy's ports can be listened on")
        for listener in listeners:
            stack.enter_context(listener)
        while time.monotonic() < deadline:
            began = time.monotonic()
            if _captured(listeners, config, family, port, min(deadline, began + INTERVAL)):
                log.info("validation passed", port=port)
                return
            time.sleep(max(0.0, min(deadline, began + INTERVAL) - time.monotonic()))
    raise NotCaptured(f"no probe of port {port} was captured within {timeout:g} s")


def _listeners(family: socket.AddressFamily, ports: tuple[str, ...]) -> Iterator[socket.socket]:
    for port in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((LOOPBACK[family], int(port)))
            listener.listen(16)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            log.warning("probe listener not bound", port=port, error=str(error))
            continue
        yield listener


def _captured(
    listeners: list[socket.socket],
    config: CaptureConfig,
    family: socket.AddressFamily,
    port: int,
    deadline: float,
) -> bool:
    """One connection: whether a listener got it and the kernel says where it was going."""
    client = _client(config, family)
    with client, selectors.DefaultSelector() as selector:
        client.setblocking(False)
        client.connect_ex((TARGETS[family], port))
        for listener in listeners:
            selector.register(listener, selectors.EVENT_READ)
        selector.register(client, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fileobj is client:
                    return _answer(client) == str(port)
                _serve(key.fileobj)
    return False


def _client(config: CaptureConfig, family: socket.AddressFamily) -> socket.socket:
    """A socket that belongs to the proxy's user, where we may make one."""
    uid = config.proxy_uids[0]
    if os.geteuid() != 0 or not uid.isdigit():
        return socket.socket(family, socket.SOCK_STREAM)
    try:
        os.seteuid(int(uid))
        return socket.socket(family, socket.SOCK_STREAM)
    finally:
        os.seteuid(0)


def _answer(client: socket.socket) -> str:
    """What the listener said; empty when the connection failed."""
    try:
        return client.recv(16).decode("ascii", "replace")
    except OSError:
        return ""


def _serve(listener: object) -> None:
    """Answer one connection with the port that it was meant for."""
    assert isinstance(listener, socket.socket)  # noqa: S101  only listeners are registered besides the client
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(str(original_port(connection)).encode())


def original_port(connection: socket.socket) -> int:
    """Where the connection was going before it was redirected."""
    level = socket.IPPROTO_IPV6 if connection.family is socket.AF_INET6 else socket.IPPROTO_IP
    address = connection.getsockopt(level, SO_ORIGINAL_DST, 28)
    return int(struct.unpack_from("!H", address, 2)[0])
