# SPDX-License-Identifier: Apache-2.0
"""HTTP for operators: readiness, version, metrics, what streams watch and what configuration is in force.

``/debug`` answers this machine only. Source: spec/upstream.md 1.1, 3.10, 10.1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from mesh.errors import BadSetting
from upstream.ca.authority import Authority
from upstream.ca.service import Counts
from upstream.config import Fault
from upstream.connections import Connection, Connections, sync_state
from upstream.metrics import Metrics, Sample, counter, gauge, render
from upstream.options import Address
from upstream.watch import CDS, ECDS, EDS, LDS, RDS, short
from upstream.world import World

ISTIOCTL_NAMES = {
    CDS: "cluster",
    LDS: "listener",
    RDS: "route",
    EDS: "endpoint",
    ECDS: "extensionconfig",
}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
Page = Callable[[web.Request], object]


class DebugServer:
    """The pages, on as many addresses as are asked for."""

    def __init__(
        self,
        *,
        version: str,
        ready: Callable[[], bool],
        world: Callable[[], World],
        faults: Callable[[], Sequence[Fault]],
        connections: Connections,
        metrics: Metrics,
        certificates: Counts,
        authority: Callable[[], Authority],
    ) -> None:
        self._version = version
        self._ready = ready
        self._world = world
        self._faults = faults
        self._connections = connections
        self._metrics = metrics
        self._certificates = certificates
        self._authority = authority
        self._open = AsyncExitStack()

    async def bind(self, address: Address) -> Address:
        """Listen; the address with the port that was bound. Raises BadSetting."""
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, address.bind_host, address.port).start()
        except OSError as error:
            raise BadSetting("address", str(address), error.strerror or str(error)) from error
        return Address(host=address.host, port=int(runner.addresses[0][1]))

    async def run(self) -> None:
        """Until cancelled; then stop listening."""
        try:
            await (
                asyncio.Event().wait()
            )  # no deadline: pages are served as long as the process lives
        finally:
            await self.close()

    async def close(self) -> None:
        await self._open.aclose()

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application(middlewares=[local_debug])
        app.router.add_get("/ready", self._answer_ready)
        app.router.add_get("/version", self._answer_version)
        app.router.add_get("/metrics", self._answer_metrics)
        pages: Mapping[str, Page] = {
            "syncz": self._syncz,
            "adsz": self._adsz,
            "configz": self._configz,
            "faults": self._faultz,
        }
        for name, page in pages.items():
            app.router.add_get(f"/debug/{name}", _as_json(page))
        app.router.add_get("/debug", _index(sorted(pages)))
        return app

    async def _answer_ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._ready() else 503)

    async def _answer_version(self, _: web.Request) -> web.Response:
        return web.Response(text=self._version)

    async def _answer_metrics(self, _: web.Request) -> web.Response:
        body = render(self.samples()).encode()
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})

    def samples(self) -> list[Sample]:
        """Every metric now."""
        counts, expires = self._certificates, self._authority().expires.timestamp()
        return [
            *self._metrics.samples(),
            gauge("pilot_xds", len(self._connections), version=self._version),
            gauge("pilot_services", _count(self._world(), "ServiceEntry")),
            gauge("pilot_virt_services", _count(self._world(), "VirtualService")),
            gauge("pilot_info", 1, version=self._version),
            gauge("pilothouse_config_faults", len(self._faults())),
            gauge("citadel_server_root_cert_expiry_timestamp", expires),
            counter("citadel_server_csr_count", counts.requests),
            counter("citadel_server_success_cert_issuance_count", counts.issued),
            counter("citadel_server_authentication_failure_count", counts.not_authenticated),
            counter("citadel_server_csr_parsing_err_count", counts.bad_requests),
        ]

    def _syncz(self, request: web.Request) -> object:
        namespace = request.query.get("namespace", "")
        return [
            _sync(connection)
            for connection in self._connections
            if not namespace or connection.proxy.namespace == namespace
        ]

    def _adsz(self, _: web.Request) -> object:
        clients = [_client(connection) for connection in self._connections]
        return {"totalClients": len(clients), "clients": clients}

    def _configz(self, _: web.Request) -> object:
        world = self._world()
        return [
            {
                "kind": key.kind,
                "namespace": key.namespace,
                "name": key.name,
                "source": f"{o.source}:{o.line}",
            }
            for key, o in sorted(world.by_key().items())
        ]

    def _faultz(self, _: web.Request) -> object:
        return [str(fault) for fault in self._faults()]


def _count(world: World, kind: str) -> int:
    return sum(1 for key in world.by_key() if key.kind == kind)


def _sync(connection: Connection) -> dict[str, Any]:
    proxy = connection.proxy
    entry: dict[str, Any] = {
        "cluster_id": proxy.cluster_id,
        "proxy": proxy.id,
        "proxy_type": proxy.type.value,
        "istio_version": str(proxy.metadata.get("ISTIO_VERSION", "")),
        "resources": {},
    }
    for watch in connection.watches.in_order():
        name = ISTIOCTL_NAMES.get(watch.type_url)
        if name is not None:
            entry[f"{name}_sent"], entry[f"{name}_acked"] = watch.nonce_sent, watch.nonce_acked
        entry["resources"][watch.type_url] = {
            "sent": watch.nonce_sent,
            "acked": watch.nonce_acked,
            "sentTime": _time(watch.last_sent),
            "lastError": watch.last_error,
            "status": sync_state(watch).value,
        }
    return entry


def _client(connection: Connection) -> dict[str, Any]:
    proxy = connection.proxy
    return {
        "connectionId": connection.id,
        "connectedAt": _time(connection.since),
        "address": connection.peer,
        "identity": connection.identity,
        "variant": connection.variant.value,
        "labels": dict(proxy.labels),
        "locality": str(proxy.locality),
        "watches": {
            short(watch.type_url): sorted(watch.names) for watch in connection.watches.in_order()
        },
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else ""


def _as_json(page: Page) -> Next:
    async def answer(request: web.Request) -> web.StreamResponse:
        text = json.dumps(page(request), indent=2, default=str)
        return web.Response(text=text + "\n", content_type="application/json")

    return answer


def _index(names: Sequence[str]) -> Next:
    async def answer(_: web.Request) -> web.StreamResponse:
        items = "".join(f'<li><a href="/debug/{name}">{name}</a></li>' for name in names)
        return web.Response(text=f"<ul>{items}</ul>", content_type="text/html")

    return answer


@web.middleware
async def local_debug(request: web.Request, handler: Next) -> web.StreamResponse:
    """Pages under ``/debug`` answer this machine only."""
    if request.path.startswith("/debug") and not _is_local(request.remote):
        raise web.HTTPForbidden(text="debug pages answer this machine only\n")
    return await handler(request)


def _is_local(remote: str | None) -> bool:
    try:
        return ip_address(remote or "").is_loopback
    except ValueError:
        return False
