# SPDX-License-Identifier: Apache-2.0
"""What an added object changes for two sidecars, and the lines that istiod's log parsers look for.

Only steps that add objects are data; edits are prose in the recordings. Types whose content stays the same are not
sent, so ours may be fewer than the peer's, never others, and none exactly where the peer sends none.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from mesh import log
from mesh.clock import SystemClock
from tests.conformance.runner import SERVED_TOPICS, Case
from tests.support.needs import conformance_dir
from tests.upstream.rig import AIO, Client, serving, sotw
from upstream.ads import Ads
from upstream.app import resources
from upstream.config import Kind, parse_documents
from upstream.connections import Connections
from upstream.gate import Gate
from upstream.generate import TYPES, generate
from upstream.metrics import Metrics
from upstream.options import Profile, PushOptions, SourceOptions
from upstream.pipeline import Pipeline
from upstream.proxy import Proxy
from upstream.ratelimit import Bucket
from upstream.watch import CDS, LDS
from upstream.world import World
from wire.h2io import Server
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse, Node

FOLDER = conformance_dir() / "convergence"
PRESENT = FOLDER.is_dir()


def steps() -> list[Case]:
    found = json.loads((FOLDER / "steps.json").read_text()) if PRESENT else []
    return [Case("convergence/steps", one["change"], one, {}, FOLDER) for one in found]


def serves(case: Case) -> bool:
    added = yaml.safe_load_all(case.data.get("appended_yaml", ""))
    kinds = [one["kind"] for one in added if one]
    return bool(kinds) and set(kinds) <= set(Kind)


def formats() -> list[Case]:
    found = json.loads((FOLDER / "log-formats.json").read_text())["formats"] if PRESENT else []
    return [Case("convergence/log-formats", one["event"], one, {}, FOLDER) for one in found]


SERVED = [case for case in steps() if serves(case)]
SERVED_TOPICS["convergence/steps"] = [case.name for case in steps() if not serves(case)]
SERVED_TOPICS["convergence/log-formats"] = []


def world_of(text: str) -> World:
    objects, faults = parse_documents(text, "base.yaml")
    assert not [fault for fault in faults if fault.fatal]
    return World({"base.yaml": objects})


def base() -> str:
    return (FOLDER / "base-config.yaml").read_text()


def nodes() -> dict[str, Node]:
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / "nodes.json").read_text())
    return {name: json_format.ParseDict(one, Node()) for name, one in found.items()}


def differs(proxy: Proxy, before: World, after: World) -> set[str]:
    """Short names of the types whose resources differ."""
    return {
        type_url.rpartition(".")[2]
        for type_url in TYPES
        if sorted(generate(type_url, proxy, before, None))
        != sorted(generate(type_url, proxy, after, None))
    }


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SERVED])
def test_steps(case: Case) -> None:
    before = world_of(base())
    after = world_of(f"{base()}\n---\n{case.data['appended_yaml']}")
    for name, node in nodes().items():
        changed, pushed = differs(Proxy.parse(node), before, after), set(case.data["pushed"][name])
        assert changed <= pushed, name
        assert bool(changed) is bool(pushed), name


async def story(home: Path) -> None:
    """A stream, a refusal, an edit, the end: everything that has a line."""
    connections, metrics, clock = Connections(), Metrics(), SystemClock()
    config = home / "config"
    config.mkdir()
    (config / "base.yaml").write_text(base())
    sources = SourceOptions(config_dir=str(config), mesh_config=str(home / "none"))
    push = PushOptions(debounce_after=0.01)
    pipeline = Pipeline(sources, push, connections, metrics, clock, profile=Profile.STOCK)
    await pipeline.load()
    ads = Ads(
        current=pipeline.current,
        generate=resources,
        connections=connections,
        metrics=metrics,
        clock=clock,
        throttle=1,
    )
    gate = Gate(None, check_identity=True, bucket=Bucket(1000.0), clock=clock)
    async with serving(Server(ads.routes(gate))) as port, asyncio.TaskGroup() as group:
        running = group.create_task(pipeline.run(), name="pipeline")
        async with AIO.insecure_channel(f"127.0.0.1:{port}") as channel:
            await _talk(sotw(channel), nodes()["client"], config)
        async with asyncio.timeout(10):
            while len(connections):
                await asyncio.sleep(0.01)
        running.cancel()


async def _talk(
    client: Client[DiscoveryRequest, DiscoveryResponse], node: Node, config: Path
) -> None:
    for type_url in (CDS, LDS):
        await client.send(DiscoveryRequest(type_url=type_url, node=node))
        said = await client.receive()
    refusal = DiscoveryRequest(type_url=LDS, response_nonce=said.nonce)
    refusal.error_detail.code, refusal.error_detail.message = 13, "bad thing"
    await client.send(refusal)
    more = base().replace("80", "79").split("---")[0].replace("name: reviews", "name: again", 1)
    aside = config / ".more"
    aside.write_text(more.replace("reviews.default", "again.default"))
    aside.replace(config / "more.yaml")
    await client.receive()
    await client.close()


TOLD: list[str] = []
"""The lines of the one story that all formats are looked for in."""


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    if not TOLD:
        log.configure(as_json=False, levels={})
        asyncio.run(story(tmp_path))
        TOLD.extend(capsys.readouterr().out.splitlines())
    return TOLD


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in formats()])
def test_log_formats(case: Case, written: list[str]) -> None:
    columns = [line.split("\t", 3) for line in written if line.count("\t") >= 3]
    fitting = [
        (level, scope)
        for _, level, scope, message in columns
        if re.match(case.data["regex"].rstrip("$"), message)
    ]
    assert (case.data["level"], case.data["scope"]) in fitting, written
