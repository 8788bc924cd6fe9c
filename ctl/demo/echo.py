# SPDX-License-Identifier: Apache-2.0
"""The demo's application: answers with its name and what it was sent. Run as ``python -m ctl.demo.echo``.

``GET /slow?seconds=N`` answers after N seconds, so that draining has something to wait for.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web


def application(name: str) -> web.Application:
    """An application that names itself in each answer."""

    async def echo(request: web.Request) -> web.Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        return web.json_response({"app": name, "path": request.path, "headers": headers})

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(min(10.0, float(request.query.get("seconds", "1"))))
        return await echo(request)

    app = web.Application()
    app.router.add_get("/slow", slow)
    app.router.add_route("*", "/{path:.*}", echo)
    return app


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="echo")
    parser.add_argument("--name", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    web.run_app(application(arguments.name), host=arguments.host, port=arguments.port, print=None)


if __name__ == "__main__":
    main()
