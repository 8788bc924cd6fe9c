# SPDX-License-Identifier: Apache-2.0
"""Makes requests from within a pod as its application would: an HTTP proxy. Run as ``python -m ctl.demo.caller``.

The demo sits outside the pods. What it asks a caller for leaves the pod by the caller's own socket, as the
application's user, and meets the pod's capture rules. Names are not looked up: what is no address is the service's.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

NOT_PASSED_ON = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "content-length"}  # fmt: skip
SESSION = web.AppKey("session", aiohttp.ClientSession)


def application(service: str) -> web.Application:
    """A proxy for which every name has the address ``service``."""

    async def forward(request: web.Request) -> web.StreamResponse:
        url = URL(request.raw_path)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in NOT_PASSED_ON}
        try:
            async with request.app[SESSION].request(
                request.method,
                url.with_host(address(url.host or "", service)),
                headers=headers | {"Host": request.host},
                data=await request.read(),
                allow_redirects=False,
            ) as reply:
                kind = reply.headers.get("Content-Type", "text/plain")
                body = await reply.read()
                return web.Response(status=reply.status, body=body, headers={"Content-Type": kind})
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=502, text=f"{type(error).__name__}: {error}")

    app = web.Application()
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=12)) as session:
        app[SESSION] = session
        yield


def address(host: str, service: str) -> str:
    """Where to connect for this host."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return service


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="caller")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--service", required=True, help="the address of every name")
    arguments = parser.parse_args()
    web.run_app(application(arguments.service), port=arguments.port, print=None)


if __name__ == "__main__":
    main()
