# SPDX-License-Identifier: Apache-2.0
"""Real Envoys that take certificate and roots by SDS, and load on one with mutual TLS: HTTP/1.1, HTTP/2, TCP.

``MtlsEnvoy`` has two listeners before one application: ``http`` (either version, gRPC to the gRPC port) and ``tcp``.
``towards`` has another before it, which is its client.
``MtlsLoad`` sends over connections held for good and over a new one each time, notes the serials that the new ones
are shown, and retries nothing.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from google.protobuf import any_pb2, json_format

from mesh.errors import MeshError
from sdsserver.x509 import facts_of_der
from tests.support.envoy import find_envoy
from tests.support.load import BODY, SAY
from tests.support.meshed import cluster, listener, tcp_listener
from tests.support.testca import Leaf
from wire.h2io import Connection, connect
from wire.h2io.tls import client_context

KNOWN = (tls_pb2,)
"""Known to the JSON parser once imported."""
PACE = 0.01
WAIT = 30.0
FAILURES = (OSError, EOFError, TimeoutError, MeshError, AssertionError)
_TYPES = "type.googleapis.com/envoy.extensions."
_TLS = f"{_TYPES}transport_sockets.tls.v3.DownstreamTlsContext"
_CLIENT_TLS = f"{_TYPES}transport_sockets.tls.v3.UpstreamTlsContext"


def _sds(name: str) -> dict[str, Any]:
    source = {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
    }
    config = {"api_config_source": source, "resource_api_version": "V3"}
    return {"name": name, "sds_config": {**config, "initial_fetch_timeout": "0s"}}


def by_sds(pair: str = "default", root: str = "ROOTCA") -> dict[str, Any]:
    """A ``common_tls_context`` with secrets of these names, from the cluster ``sds-grpc``."""
    return {
        "tls_certificate_sds_secret_configs": [_sds(pair)],
        "validation_context_sds_secret_config": _sds(root),
    }


def inline(leaf: Leaf) -> dict[str, Any]:
    """A ``common_tls_context`` that no secret server can change."""
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": leaf.chain.decode()},
                "private_key": {"inline_string": leaf.key.decode()},
            }
        ],
        "validation_context": {"trusted_ca": {"inline_string": leaf.root.decode()}},
    }


def transport(common: dict[str, Any]) -> dict[str, Any]:
    """Mutual TLS of a listener."""
    tls = {
        "@type": _TLS,
        "require_client_certificate": True,
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], **common},
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": tls}


def secured(plain: Any, common: dict[str, Any]) -> Any:
    """A listener of ``meshed`` behind mutual TLS."""
    document = json_format.MessageToDict(plain, preserving_proto_field_name=True)
    document["filter_chains"][0]["transport_socket"] = transport(common)
    return json_format.ParseDict(document, any_pb2.Any())


def _plain(message: Any) -> dict[str, Any]:
    """An ``Any`` of ``meshed`` as the JSON of a static resource."""
    found = json_format.MessageToDict(message, preserving_proto_field_name=True)
    del found["@type"]
    return dict(found)


def _sds_cluster(socket: str) -> dict[str, Any]:
    made = _plain(cluster("sds-grpc", 0, http2=True))
    made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"] = {
        "address": {"pipe": {"path": socket}}
    }
    return made


def bootstrap(socket: str, app: App, *, pair: str, root: str) -> dict[str, Any]:
    """Mutual TLS in front of ``app``."""
    listeners = _listeners()
    for each in listeners:
        each["filter_chains"][0]["transport_socket"] = transport(by_sds(pair, root))
    return _document(socket, listeners, _clusters(app))


def towards(socket: str, server: MtlsEnvoy) -> dict[str, Any]:
    """Plain listeners, and mutual TLS behind them to ``server``; no connection has more than one HTTP/1.1 request."""
    clusters = _clusters(App(server.http, server.http, server.tcp))
    for each in clusters:
        protocols = (
            [] if each["name"] == "echo" else ["h2" if "grpc" in each["name"] else "http/1.1"]
        )
        common = {"alpn_protocols": protocols, **by_sds()}
        tls = {"@type": _CLIENT_TLS, "common_tls_context": common}
        each["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
        if each["name"] == "app":
            each["max_requests_per_connection"] = 1
    return _document(socket, _listeners(), clusters)


def _listeners() -> list[dict[str, Any]]:
    return [
        _plain(listener("http", 0, "app", inbound=True)),
        _plain(tcp_listener("tcp", 0, "echo")),
    ]


def _clusters(app: App) -> list[dict[str, Any]]:
    return [
        _plain(cluster("app", app.http)),
        _plain(cluster("app-grpc", app.grpc, http2=True)),
        _plain(cluster("echo", app.tcp)),
    ]


def _document(
    socket: str, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "node": {"id": "sidecar~127.0.0.1~b.a~a.svc.cluster.local", "cluster": "b"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": listeners,
            "clusters": [_sds_cluster(socket), *clusters],
        },
    }


@dataclass(frozen=True, slots=True)
class App:
    """Ports of the application behind Envoy."""

    http: int
    grpc: int
    tcp: int


@dataclass(frozen=True, slots=True)
class MtlsEnvoy:
    """Ports of the running Envoy."""

    http: int
    tcp: int
    admin: str

    async def ask(self, path: str) -> str:
        """Its admin interface."""
        return (await _admin(self.admin, path)).decode()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def mtls_envoy(folder: Path, document: dict[str, Any]) -> AsyncIterator[MtlsEnvoy]:
    """Started with ``bootstrap`` or ``towards``, live, and stopped at the end."""
    (folder / "bootstrap.json").write_text(json.dumps(document))
    with open(folder / "envoy.log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_envoy(),
            *("-c", str(folder / "bootstrap.json"), "--concurrency", "1", "--use-dynamic-base-id"),
            *("--admin-address-path", str(folder / "admin")),
            *("--base-id-path", str(folder / "base-id")),
            stdout=log,
            stderr=log,
        )
        try:
            yield await _until_live(folder / "admin", process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _until_live(admin: Path, process: asyncio.subprocess.Process) -> MtlsEnvoy:
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, "Envoy has ended"
            await asyncio.sleep(0.05)
            address = admin.read_text() if admin.exists() else ""
            if not address or b'"LIVE"' not in await _admin(address, "/server_info"):
                continue
            document = json.loads(await _admin(address, "/listeners?format=json"))
            ports = {
                each["name"]: int(each["local_address"]["socket_address"]["port_value"])
                for each in document.get("listener_statuses", [])
            }
            if len(ports) == 2:
                return MtlsEnvoy(ports["http"], ports["tcp"], address)


async def _admin(address: str, path: str) -> bytes:
    from agent import http1

    host, _, port = address.rpartition(":")
    return (await http1.ask(http1.Target(host, int(port), path), timeout=20)).body


class MtlsLoad:
    """One client's traffic until ``stop`` is set; ``failed`` says what went wrong."""

    def __init__(self, envoy: MtlsEnvoy, leaf: Leaf, roots: bytes = b"") -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.serials: dict[str, set[int]] = defaultdict(set)
        """Kind of new connection to the serials that it was shown."""
        self.stop = asyncio.Event()
        self.roots = roots or leaf.root
        self._envoy = envoy
        self._leaf = leaf

    async def run(self) -> None:
        """Every kind at once; returns when each has ended in good order."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._held_http1())
            group.create_task(self._held_http2())
            group.create_task(self._held_tcp())
            for kind, once in (
                ("HTTP/1.1", self.http1),
                ("HTTP/2", self.http2),
                ("TCP", self.tcp),
            ):
                group.create_task(self._again_and_again(kind, once))

    def figures(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.done.items()))
        seen = ", ".join(f"{len(each)} serials by {kind}" for kind, each in self.serials.items())
        return f"{kinds}; {seen}; {len(self.failed)} failed"

    async def _again_and_again(self, kind: str, once: Any) -> None:
        while not self.stop.is_set():
            try:
                async with asyncio.timeout(WAIT):
                    self.serials[kind].add(await once())
                self.done[f"new {kind}"] += 1
            except FAILURES as error:
                self.failed.append(f"new {kind}: {error!r}")
            await asyncio.sleep(PACE)

    # ---- one exchange over a new connection: the serial that the server shows ----

    async def http1(self) -> int:
        reader, writer, serial = await self._open(self._envoy.http, "http/1.1")
        try:
            await _ask(reader, writer)
        finally:
            await _close(writer)
        return serial

    async def http2(self) -> int:
        connection = await self._connect()
        try:
            assert await connection.unary(SAY, BODY, timeout=WAIT) == BODY
            return facts_of_der(connection.peer.certificate or b"").serial
        finally:
            await connection.close()

    async def tcp(self) -> int:
        reader, writer, serial = await self._open(self._envoy.tcp, "")
        try:
            await _echoed(reader, writer)
        finally:
            await _close(writer)
        return serial

    # ---- one connection for good ----

    async def _held_http1(self) -> None:
        reader, writer, _ = await self._open(self._envoy.http, "http/1.1")
        await self._hold("HTTP/1.1", lambda: _ask(reader, writer))
        await _close(writer)

    async def _held_http2(self) -> None:
        connection = await self._connect()

        async def call() -> None:
            assert await connection.unary(SAY, BODY, timeout=WAIT) == BODY

        await self._hold("HTTP/2", call)
        await connection.close()

    async def _held_tcp(self) -> None:
        reader, writer, _ = await self._open(self._envoy.tcp, "")
        await self._hold("TCP", lambda: _echoed(reader, writer))
        await _close(writer)

    async def _hold(self, kind: str, once: Any) -> None:
        try:
            while not self.stop.is_set():
                async with asyncio.timeout(WAIT):
                    await once()
                self.done[f"held {kind}"] += 1
                await asyncio.sleep(PACE)
        except FAILURES as error:
            self.failed.append(f"held {kind}: {error!r}")

    def _context(self) -> ssl.SSLContext:
        leaf = self._leaf
        return client_context(
            roots=self.roots, certificate=leaf.chain, key=leaf.key, check_hostname=False
        )

    async def _connect(self) -> Connection:
        return await connect(f"127.0.0.1:{self._envoy.http}", tls=self._context(), timeout=WAIT)

    async def _open(
        self, port: int, protocol: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        context = self._context()
        context.set_alpn_protocols([protocol] if protocol else [])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return reader, writer, facts_of_der(certificate).serial


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head[:60]
    assert b"connection: close" not in head
    assert await reader.readexactly(len(BODY)) == BODY


async def _echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(BODY)
    assert await reader.readexactly(len(BODY)) == BODY


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(WAIT):
            await writer.wait_closed()
