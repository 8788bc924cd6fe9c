# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.platform.azure import discover, newest_version, tags
from tests.bootstrap.platform.fakes import FakeServer

URL = "http://169.254.169.254/metadata/instance"
VENDOR = "Microsoft Corporation\n"
COMPUTE = {
    "compute": {
        "name": "vm",
        "location": "westus",
        "zone": "2",
        "vmId": "id",
        "tags": "Department:IT;Environment:Prod",
    }
}


def test_another_vendor_is_not_asked() -> None:
    server = FakeServer({})
    assert discover(server, vendor="QEMU", is_kubernetes=True) is None
    assert server.asked == []


def test_the_newest_version_is_asked_for() -> None:
    server = FakeServer(
        {
            URL: '{"error": "Bad request", "newest-versions": ["2021-01-01", "2020-06-01"]}',
            f"{URL}?api-version=2021-01-01": json.dumps(COMPUTE),
        }
    )
    found = discover(server, vendor=VENDOR, is_kubernetes=False)
    assert found is not None
    assert found.metadata == {
        "azure_name": "vm",
        "azure_location": "westus",
        "azure_vmId": "id",
        "azure_Department": "IT",
        "azure_Environment": "Prod",
    }
    assert (found.region, found.zone) == ("westus", "2")
    assert all(headers == {"Metadata": "True"} for _, headers in server.asked)


def test_a_silent_server_is_survived() -> None:
    found = discover(FakeServer({}), vendor=VENDOR, is_kubernetes=True)
    assert found is not None
    assert found.metadata == {}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", "2019-08-15"),
        ("{", "2019-08-15"),
        ("[]", "2019-08-15"),
        ('{"newest-versions": []}', "2019-08-15"),
        ('{"newest-versions": [""]}', "2019-08-15"),
        ('{"newest-versions": ["2018-01-01"]}', "2019-08-15"),
        ('{"newest-versions": ["2020-01-01", "2019-12-01"]}', "2020-01-01"),
    ],
)
def test_versions(text: str, version: str) -> None:
    assert newest_version(text) == version


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        ({}, {}),
        ({"tags": ""}, {}),
        ({"tags": "Department"}, {"Department": ""}),
        ({"tags": "a:b:c;d"}, {"a": "b:c", "d": ""}),
        ({"tags": "a:b", "tagsList": [{"name": "x", "value": "y;z"}]}, {"x": "y;z"}),
        ({"tags": "a:b", "tagsList": []}, {"a": "b"}),
    ],
)
def test_tags(compute: dict[str, Any], expected: dict[str, str]) -> None:
    assert tags(compute) == expected
