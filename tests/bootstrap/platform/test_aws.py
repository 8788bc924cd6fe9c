# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bootstrap.platform.aws import discover
from tests.bootstrap.platform.fakes import FakeServer

META = "http://169.254.169.254/latest/meta-data"
ANSWERS = {
    f"{META}/iam/info": '{"InstanceProfileArn": "arn:aws:iam::1:instance-profile/x"}',
    f"{META}/placement/region": "us-west-2",
    f"{META}/placement/availability-zone": "us-west-2b\n",
    f"{META}/instance-id": "i-1",
}


def test_version_2_shows_its_token() -> None:
    server = FakeServer({"PUT http://169.254.169.254/latest/api/token": "tok", **ANSWERS})
    found = discover(server, ipv6=False, is_kubernetes=False)
    assert found is not None
    assert found.metadata == {
        "aws_region": "us-west-2",
        "aws_availability_zone": "us-west-2b",
        "aws_instance_id": "i-1",
    }
    assert (found.region, found.zone, found.is_kubernetes) == ("us-west-2", "us-west-2b", False)
    assert {headers.get("X-aws-ec2-metadata-token") for _, headers in server.asked[1:]} == {"tok"}


def test_version_1_needs_none() -> None:
    assert discover(FakeServer(ANSWERS), ipv6=False, is_kubernetes=True) is not None


def test_elsewhere_and_on_ipv6() -> None:
    assert discover(FakeServer({}), ipv6=False, is_kubernetes=True) is None
    server = FakeServer({})
    assert discover(server, ipv6=True, is_kubernetes=True) is None
    assert all("[fd00:ec2::254]" in url for url, _ in server.asked)


def test_what_is_missing_is_left_out() -> None:
    server = FakeServer({f"{META}/iam/info": "arn:aws:iam"})
    found = discover(server, ipv6=False, is_kubernetes=True)
    assert found is not None
    assert (found.metadata, found.region, found.zone) == ({}, "", "")
