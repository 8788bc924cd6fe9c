# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bootstrap.inputs import PlatformInputs
from bootstrap.platform.gcp import discover, region_of, zone_in
from tests.bootstrap.platform.fakes import FakeServer

BASE = "http://169.254.169.254/computeMetadata/v1"
GOOGLE = {"metadata-flavor": "Google"}


def test_static_metadata_is_not_asked_for() -> None:
    server = FakeServer({})
    options = PlatformInputs(
        gcp_metadata="p|1|c|us-west1", gcp_quota_project="q", gcp_zone="us-central2-ir"
    )
    found = discover(server, options, resolv_conf="")
    assert found is not None
    assert found.metadata == {
        "gcp_project": "p",
        "gcp_project_number": "1",
        "gcp_gke_cluster_name": "c",
        "gcp_location": "us-west1",
        "gcp_gke_cluster_url": "https://container.googleapis.com/v1/projects/p/locations/us-west1/clusters/c",
        "gcp_quota_project": "q",
        "gcp_zone": "us-central2-ir",
    }
    assert (found.region, found.zone) == ("us-central2", "us-central2-ir")
    assert server.asked == []


@pytest.mark.parametrize("text", ["", "p|1|c", "p|1|c|l|x", "|||"])
def test_static_metadata_of_another_form_says_nothing(text: str) -> None:
    options = PlatformInputs(gcp_metadata=text)
    assert discover(FakeServer({}), options, resolv_conf="") is None


def test_the_server_is_asked_key_by_key() -> None:
    answers = {
        "http://169.254.169.254/": "computeMetadata/",
        f"{BASE}/project/project-id": "p",
        f"{BASE}/instance/name": "vm",
        f"{BASE}/instance/zone": "projects/1/zones/us-east1-ir",
    }
    server = FakeServer(answers, headers=GOOGLE)
    found = discover(server, PlatformInputs(is_kubernetes=False), resolv_conf="")
    assert found is not None
    assert found.metadata == {
        "gcp_project": "p",
        "gcp_gce_instance": "vm",
        "gcp_location": "us-east1-ir",
    }
    assert (found.region, found.zone, found.is_kubernetes) == ("us-east1", "us-east1-ir", False)


def test_a_server_that_is_not_googles() -> None:
    server = FakeServer({"http://169.254.169.254/": "hello"})
    assert discover(server, PlatformInputs(), resolv_conf="") is None


def test_resolv_conf_beats_the_server() -> None:
    answers = {f"{BASE}/instance/zone": "projects/1/zones/us-east1-b"}
    options = PlatformInputs(gcp_metadata="p|1|c|l")
    conf = "nameserver 10.0.0.1\nsearch a.svc us-central3-f.c.proj.internal google.internal\n"
    found = discover(FakeServer(answers), options, resolv_conf=conf)
    assert found is not None
    assert found.zone == "us-central3-f"


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("search us-west1-b.c.p.internal google.internal", "us-west1-b"),
        ("search a us-west1-b.c.p.internal b", "us-west1-b"),
        ("search a us-west1-b.c.p.internal", "us-west1-b"),
        ("search a us-west1-b.c.p.internal. ", "us-west1-b"),
        ("domain us-west1-b.c.p.internal", ""),
        ("search c.p.internal", ""),
        ("", ""),
    ],
)
def test_zone_in_resolv_conf(text: str, zone: str) -> None:
    assert zone_in(text) == zone


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-central1-f", "us-central1"),
        ("us-central2-ir", "us-central2"),
        ("us-central1", ""),
        ("abcd", ""),
        ("", ""),
    ],
)
def test_regions(zone: str, region: str) -> None:
    assert region_of(zone) == region
