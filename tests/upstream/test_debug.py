# SPDX-License-Identifier: Apache-2.0
"""The pages as a browser on this machine sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mesh.errors import BadSetting
from tests.upstream.authority import root
from tests.upstream.test_connections import connection
from upstream.ca.service import Counts
from upstream.config import Fault
from upstream.connections import Connections
from upstream.debug import DebugServer, local_debug
from upstream.metrics import Metric, Metrics
from upstream.options import Address
from upstream.watch import CDS, Reply
from upstream.world import World

LOOPBACK = Address(host="127.0.0.1", port=0)
YAML = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: one, namespace: demo}
spec: {egress: [{hosts: ["*/*"]}]}
"""


class Pages:
    """A server with one connection and one object."""

    def __init__(self) -> None:
        from upstream.config import parse_documents

        objects, faults = parse_documents(YAML, "one.yaml")
        assert not faults
        self.ready = True
        self.connections, self.metrics = Connections(), Metrics()
        self.url = ""
        authority = root()
        self.server = DebugServer(
            version="1.2.3",
            ready=lambda: self.ready,
            world=lambda: World({"one.yaml": objects}),
            faults=lambda: [
                Fault(source="a.yaml", line=3, object="Sidecar/x", field="spec", reason="odd")
            ],
            connections=self.connections,
            metrics=self.metrics,
            certificates=Counts(requests=2, issued=1),
            authority=lambda: authority,
        )

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as reply:
            return reply.status, await reply.text()

    async def json(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as reply:
            assert reply.status == 200
            return await reply.json()


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    made = Pages()
    made.url = f"http://{await made.server.bind(LOOPBACK)}"
    yield made
    await made.server.close()


async def test_ready(pages: Pages) -> None:
    assert (await pages.get("/ready"))[0] == 200
    pages.ready = False
    assert (await pages.get("/ready"))[0] == 503


async def test_version_and_index(pages: Pages) -> None:
    assert await pages.get("/version") == (200, "1.2.3")
    status, text = await pages.get("/debug")
    assert status == 200
    assert "/debug/syncz" in text


async def test_metrics(pages: Pages) -> None:
    pages.metrics.add(Metric.PUSHES, type="cds")
    _, text = await pages.get("/metrics")
    for line in (
        'pilot_xds_pushes{type="cds"} 1',
        'pilot_xds{version="1.2.3"} 0',
        "citadel_server_csr_count 2",
        "citadel_server_success_cert_issuance_count 1",
        "pilothouse_config_faults 1",
    ):
        assert line in text.splitlines()


async def test_syncz_and_adsz(pages: Pages) -> None:
    one = connection(pages.connections)
    pages.connections.add(one)
    one.watches.on_delta(CDS, ["c1"], [], {}, Reply())
    watch = one.watches.get(CDS)
    assert watch is not None
    watch.nonce_sent = "n1"
    (entry,) = await pages.json("/debug/syncz?namespace=demo")
    assert (entry["proxy"], entry["cluster_sent"], entry["cluster_acked"]) == (
        "client.demo",
        "n1",
        "",
    )
    assert entry["resources"][CDS]["status"] == "STALE"
    assert await pages.json("/debug/syncz?namespace=other") == []
    clients = await pages.json("/debug/adsz")
    assert clients["totalClients"] == 1
    assert clients["clients"][0]["watches"] == {"CDS": ["c1"]}


async def test_configz_and_faults(pages: Pages) -> None:
    (entry,) = await pages.json("/debug/configz")
    assert (entry["kind"], entry["namespace"], entry["name"]) == ("Sidecar", "demo", "one")
    assert entry["source"].startswith("one.yaml:")
    assert await pages.json("/debug/faults") == ["a.yaml:3: Sidecar/x spec: odd"]


@pytest.mark.parametrize(
    ("path", "remote", "allowed"),
    [
        ("/debug/configz", "127.0.0.1", True),
        ("/debug/configz", "::1", True),
        ("/debug/configz", "10.0.0.1", False),
        ("/debug", "10.0.0.1", False),
        ("/debug", "", False),
        ("/metrics", "10.0.0.1", True),
    ],
)
async def test_debug_pages_are_for_this_machine(path: str, remote: str, allowed: bool) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="page")

    request = make_mocked_request("GET", path).clone(remote=remote)
    if allowed:
        assert (await local_debug(request, page)).status == 200
    else:
        with pytest.raises(web.HTTPForbidden):
            await local_debug(request, page)


async def test_port_that_is_taken(pages: Pages) -> None:
    taken = Address.parse(pages.url.removeprefix("http://"))
    with pytest.raises(BadSetting, match="in use"):
        await pages.server.bind(taken)
