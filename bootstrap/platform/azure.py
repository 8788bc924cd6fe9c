# SPDX-License-Identifier: Apache-2.0
"""Azure's instance metadata. Pure; asks through ``Fetch``, told by the caller who built the machine."""

from __future__ import annotations

import json
from typing import Any

from bootstrap.platform.found import Fetch, Found, NoAnswer

VENDOR_FILE = "/sys/class/dmi/id/sys_vendor"
_VENDOR = "Microsoft Corporation"
_URL = "http://169.254.169.254/metadata/instance"
_OLDEST = "2019-08-15"
_HEADERS = {"Metadata": "True"}
_PREFIX = "azure_"


def discover(fetch: Fetch, *, vendor: str, is_kubernetes: bool) -> Found | None:
    """What Azure says, or None on another vendor's machine. ``vendor`` is the text of ``VENDOR_FILE``."""
    if _VENDOR not in vendor:
        return None
    compute = _json(fetch, f"{_URL}?api-version={_version(fetch)}").get("compute")
    if not isinstance(compute, dict):
        return Found(is_kubernetes=is_kubernetes)
    plain = {key: compute.get(key) for key in ("name", "location", "vmId")}
    metadata = {_PREFIX + key: str(value) for key, value in plain.items() if value}
    metadata |= {_PREFIX + key: value for key, value in tags(compute).items()}
    return Found(
        metadata=metadata,
        region=str(compute.get("location") or ""),
        zone=str(compute.get("zone") or ""),
        is_kubernetes=is_kubernetes,
    )


def newest_version(text: str) -> str:
    """The newest API version that an answer without a version offers, never older than ours."""
    try:
        offered = json.loads(text).get("newest-versions") or []
        return max([_OLDEST, *(str(version) for version in offered)])
    except (ValueError, AttributeError, TypeError):
        return _OLDEST


def tags(compute: dict[str, Any]) -> dict[str, str]:
    """``tagsList`` where there is one, else ``tags`` (``key:value;key2:value2``)."""
    listed = compute.get("tagsList")
    if isinstance(listed, list):
        pairs = [each for each in listed if isinstance(each, dict) and each.get("name")]
        if pairs:
            return {str(each["name"]): str(each.get("value", "")) for each in pairs}
    text = compute.get("tags")
    parts = [part.partition(":") for part in text.split(";")] if isinstance(text, str) else []
    return {key: value for key, _, value in parts if key}


def _version(fetch: Fetch) -> str:
    try:
        return newest_version(fetch(_URL, headers=_HEADERS, any_status=True).text)
    except NoAnswer:
        return _OLDEST


def _json(fetch: Fetch, url: str) -> dict[str, Any]:
    try:
        data = json.loads(fetch(url, headers=_HEADERS).text)
    except (NoAnswer, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
