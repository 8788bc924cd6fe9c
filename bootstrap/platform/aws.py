# SPDX-License-Identifier: Apache-2.0
"""EC2's instance metadata, version 2 with a session token, else version 1. Pure; asks through ``Fetch``."""

from __future__ import annotations

from bootstrap.platform.found import Fetch, Found, NoAnswer

_HOST_V4 = "http://169.254.169.254"
_HOST_V6 = "http://[fd00:ec2::254]"
_TIMEOUT = 0.1
"""The server is on the machine's own link; every call gets this long."""
_KEYS = {
    "aws_region": "placement/region",
    "aws_availability_zone": "placement/availability-zone",
    "aws_instance_id": "instance-id",
}


def discover(fetch: Fetch, *, ipv6: bool, is_kubernetes: bool) -> Found | None:
    """What EC2 says, or None elsewhere."""
    host = _HOST_V6 if ipv6 else _HOST_V4
    headers = _token(fetch, host)
    if "arn:aws:iam" not in _get(fetch, host, "iam/info", headers):
        return None
    read = {key: _get(fetch, host, path, headers) for key, path in _KEYS.items()}
    metadata = {key: value for key, value in read.items() if value}
    return Found(
        metadata=metadata,
        region=metadata.get("aws_region", ""),
        zone=metadata.get("aws_availability_zone", ""),
        is_kubernetes=is_kubernetes,
    )


def _token(fetch: Fetch, host: str) -> dict[str, str]:
    asked = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        answer = fetch(f"{host}/latest/api/token", method="PUT", headers=asked, timeout=_TIMEOUT)
    except NoAnswer:
        return {}
    return {"X-aws-ec2-metadata-token": answer.text}


def _get(fetch: Fetch, host: str, path: str, headers: dict[str, str]) -> str:
    try:
        return fetch(
            f"{host}/latest/meta-data/{path}", headers=headers, timeout=_TIMEOUT
        ).text.strip()
    except NoAnswer:
        return ""
