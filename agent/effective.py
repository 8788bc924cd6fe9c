# SPDX-License-Identifier: Apache-2.0
"""The settings in force, row by row, with the source of each value, secrets masked. Pure. Source: DESIGN 4.10."""

from __future__ import annotations

import json
from typing import NamedTuple

from agent.environment import Environment
from mesh import redact
from mesh.proxyconfig import ProxyConfig

DEFAULT = "default"
ENVIRONMENT = "environment"


class Effective(NamedTuple):
    """One setting."""

    name: str
    value: str
    source: str


def effective_settings(env: Environment, config: ProxyConfig) -> tuple[Effective, ...]:
    """Variables that were asked for, then ProxyConfig's fields."""
    refused = {fault.name for fault in env.tolerated}
    rows = []
    for name, default in sorted(env.asked.items()):
        given = env.variables.get(name)
        if given is None or name in refused:
            rows.append(_row(name, default, DEFAULT))
        else:
            rows.append(_row(name, given, ENVIRONMENT))
    for name, value in sorted(config.raw.items()):
        shown = value if isinstance(value, str) else json.dumps(redact.document(value))
        rows.append(_row(f"proxyConfig.{name}", shown, config.origins.get(name, DEFAULT)))
    return tuple(rows)


def _row(name: str, value: object, source: str) -> Effective:
    match value:
        case None:
            text = ""
        case bool():
            text = str(value).lower()  # as it would be given
        case _:
            text = str(value)
    return Effective(name, redact.value(name, text), source)
