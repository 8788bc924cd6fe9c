# SPDX-License-Identifier: Apache-2.0
"""Which files a proxyless gRPC bootstrap names. Pure. Source: spec/agent.md 9.2, 11.2; peer: status/grpcready."""

from __future__ import annotations

import json
from typing import Any

_FILES = ("private_key_file", "certificate_file", "ca_certificate_file")


def files_of(text: str) -> tuple[str, ...]:
    """Files that must exist before its readers work; none without a file_watcher. Raises ValueError."""
    bootstrap = json.loads(text)
    if not isinstance(bootstrap, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  json.loads raises ValueError, too
    provider = _member(_member(bootstrap, "certificate_providers"), "default")
    if provider.get("plugin_name") != "file_watcher":
        return ()
    config = _member(provider, "config")
    return tuple(str(config[name]) for name in _FILES if config.get(name))


def _member(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}
