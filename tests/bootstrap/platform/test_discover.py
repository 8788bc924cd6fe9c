# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from bootstrap.inputs import PlatformInputs
from bootstrap.launch import write_bootstrap
from bootstrap.platform.discover import Discovery, probes_for, with_platform
from bootstrap.platform.found import Found
from tests.bootstrap.platform.fakes import FakeServer, http_server
from tests.support.bootstrap import inputs_for


def test_the_first_that_knows_the_machine_wins() -> None:
    found = Found(region="r")
    assert Discovery({"a": lambda: None, "b": lambda: found}, timeout=60).result() is found


def test_nobody_knows_it() -> None:
    assert Discovery({"a": lambda: None, "b": lambda: None}, timeout=60).result() is None
    assert Discovery({}, timeout=60).result() is None


def test_a_silent_one_does_not_hold_the_others_up() -> None:
    stop = threading.Event()
    found = Found(region="r")

    def silent() -> None:
        stop.wait(60)

    try:
        assert Discovery({"a": silent, "b": lambda: found}, timeout=60).result() is found
        assert Discovery({"a": silent}, timeout=0.01).result() is None
    finally:
        stop.set()


def test_ipv6_only_machines_ask_over_ipv6() -> None:
    server = FakeServer({})
    inputs = inputs_for(instance_ips=("fd00::1", "junk"))
    assert probes_for(inputs, server)["aws"]() is None
    assert "fd00:ec2" in server.asked[0][0]


def test_metadata_and_locality_are_added() -> None:
    found = Found(metadata={"gcp_project": "p"}, region="r", zone="z")
    inputs = with_platform(inputs_for(metadata={"A": 1}), found)
    assert inputs.metadata == {"A": 1, "PLATFORM_METADATA": {"gcp_project": "p"}}
    assert (inputs.region, inputs.zone) == ("r", "z")
    assert with_platform(inputs, None) is inputs


def test_a_label_knows_better_where_we_are() -> None:
    inputs = with_platform(inputs_for(region="mine"), Found(region="r", zone="z"))
    assert (inputs.region, inputs.zone) == ("mine", "")


@pytest.mark.parametrize(
    ("kubernetes", "labels"), [(True, {"a": "1"}), (False, {"a": "1", "b": "2"})]
)
def test_instance_labels_count_off_kubernetes(kubernetes: bool, labels: dict[str, str]) -> None:
    given = inputs_for(metadata={"LABELS": {"a": "1"}, "STATIC_LABELS": {"a": "1"}})
    found = Found(labels={"b": "2"}, is_kubernetes=kubernetes)
    metadata = with_platform(given, found).metadata
    assert metadata["LABELS"] == metadata["STATIC_LABELS"] == labels


async def test_the_child_asks_and_writes_what_it_heard(tmp_path: Path) -> None:
    answers = {
        "/computeMetadata/v1/project/project-id": "my-project",
        "/computeMetadata/v1/instance/zone": "projects/1/zones/us-east1-b",
    }
    with http_server(answers) as address:
        inputs = inputs_for(
            output=str(tmp_path / "envoy-rev.json"),
            platform=PlatformInputs(cloud="gcp", gce_metadata_host=address, timeout=30),
        )
        await write_bootstrap(inputs, deadline=asyncio.get_running_loop().time() + 60)
    node = json.loads((tmp_path / "envoy-rev.json").read_text())["node"]
    assert node["locality"] == {"region": "us-east1", "zone": "us-east1-b"}
    assert node["metadata"]["PLATFORM_METADATA"]["gcp_project"] == "my-project"
