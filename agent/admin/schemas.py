# SPDX-License-Identifier: Apache-2.0
"""What each answer of the admin endpoint looks like, as JSON Schema 2020-12 for its OpenAPI description. Pure.

Made when somebody asks for the description. What other parts tell of themselves (xDS, secrets, DNS) is described as far
as people rely on it and may have more; the rest is told whole.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
PORT_TEXT: Schema = {"type": "string", "description": "host:port"}


def _about(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Schema, *, optional: Schema | None = None, closed: bool = True) -> Schema:
    """All of ``properties`` are always there; ``optional`` ones sometimes."""
    found: Schema = {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **(optional or {})},
    }
    return {**found, "additionalProperties": False} if closed else found


def _map(values: Schema, of: str) -> Schema:
    return {"type": "object", "additionalProperties": values, "description": of}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


SECONDS = _about(NUMBER, "Unix time in seconds; 0: never")
RESOURCES = _object(
    {},
    optional={
        "residentBytes": COUNT,
        "processorSeconds": NUMBER,
        "ageSeconds": NUMBER,
        "threads": COUNT,
        "descriptors": COUNT,
    },
)
"""Empty for a process that is not there."""
UPDATES = _object({"accepted": COUNT, "rejected": COUNT})
ENVOY = _object(
    {"pid": _about(_or_null(COUNT), "0 or null: it does not run"), "state": TEXT},
    optional={
        "why": _about(TEXT, "why it does not answer"),
        "cds": UPDATES,
        "lds": UPDATES,
        "workersStarted": FLAG,
        "version": TEXT,
        "uptime": NUMBER,
        "restartEpoch": COUNT,
        "drainTime": TEXT,
    },
)
PUSH_TYPE = _object(
    {
        "responses": COUNT,
        "bytes": _about(COUNT, "of the last push"),
        "at": SECONDS,
        "version": TEXT,
        "source": _about(TEXT, "control plane, or store: what Envoy accepted earlier"),
        "acknowledged": COUNT,
        "refused": COUNT,
        "lastError": _about(TEXT, "Envoy's words"),
        "refusedAt": SECONDS,
    },
    closed=False,
)
XDS = _object(
    {"source": TEXT, "upstream": PORT_TEXT, "types": _map(PUSH_TYPE, "by short name: CDS, LDS")},
    optional={
        "store": _object(
            {
                "inMemory": FLAG,
                "resourcesWritten": COUNT,
                "resourcesWithheld": COUNT,
                "lastWrite": _or_null(SECONDS),
                "ageSeconds": _or_null(NUMBER),
            },
            closed=False,
        )
    },
    closed=False,
)
SECRETS = _object(
    {
        "identity": _about(TEXT, "SPIFFE id"),
        "mode": TEXT,
        "serial": _about(TEXT, "hexadecimal"),
        "issued": SECONDS,
        "expires": SECONDS,
        "renews": SECONDS,
        "last_error": TEXT,
        "socket": TEXT,
        "streams": COUNT,
        "watched": _map(COUNT, "streams by secret"),
    },
    closed=False,
)
NACK = _object({"type": TEXT, "refused": COUNT, "error": TEXT, "at": SECONDS})
PROBE = _object(
    {
        "asks": _about(TEXT, "without headers, queries and arguments"),
        "status": _about(_or_null(COUNT), "last answer; null: not asked yet"),
        "at": _or_null(SECONDS),
    }
)
STATUS = _object(
    {
        "version": TEXT,
        "node": _about(TEXT, "type~address~name~domain"),
        "cluster": TEXT,
        "state": _about(TEXT, "where the agent's life stands"),
        "started": _map(_or_null(NUMBER), "seconds until each part of the start was done"),
        "ready": _object({"ready": FLAG, "fault": _about(TEXT, "empty when ready")}),
        "workloadHealth": TEXT,
        "dns": _object({"enabled": FLAG}, closed=False),
        "probes": _map(PROBE, "by path"),
        "envoy": ENVOY,
        "secrets": SECRETS,
        "xds": XDS,
        "lastNack": _or_null(NACK),
        "capture": _object({"verdict": TEXT, "why": TEXT, "at": SECONDS}),
        "resources": _object({"agent": RESOURCES, "envoy": RESOURCES}),
    }
)
SETTINGS = _object(
    {
        "settings": _list(
            _object({"name": TEXT, "value": TEXT, "source": _about(TEXT, "default or where set")})
        )
    }
)
NACKS = _object({"nacks": _list(NACK)})
PUSH = _object(
    {
        "type": TEXT,
        "seen": SECONDS,
        "responses": COUNT,
        "acknowledged": COUNT,
        "refused": COUNT,
    },
    optional={"bytes": COUNT, "at": SECONDS, "version": TEXT, "source": TEXT, "error": TEXT},
)
PUSHES = _object({"pushes": _list(PUSH)})
RULE = _object({"family": TEXT, "table": TEXT, "chain": TEXT, "rule": TEXT, "why": TEXT})
CAPTURE = _object({"mode": TEXT, "source": TEXT, "notes": _list(TEXT), "rules": _list(RULE)})
LEVELS = _object({"levels": _map(TEXT, "by scope")})
SET_LEVELS: Schema = {
    **_object(
        {},
        optional={
            "levels": _about(TEXT, "scope:level,..."),
            "envoy": _about(TEXT, "level,component:level,..."),
        },
        closed=False,
    ),
    "minProperties": 1,
}
UPGRADE = _object({"envoy": _about(TEXT, "path of the program")}, closed=False)
UPGRADED = _object({"binary": TEXT, "epoch": COUNT, "pid": COUNT})
ERROR = _object({"error": TEXT}, optional={"hint": TEXT})
ANYTHING: Schema = {"type": "object"}

SCHEMAS: dict[str, Schema] = {
    "Status": STATUS,
    "Settings": SETTINGS,
    "Nacks": NACKS,
    "Pushes": PUSHES,
    "Capture": CAPTURE,
    "Levels": LEVELS,
    "SetLevels": SET_LEVELS,
    "Upgrade": UPGRADE,
    "Upgraded": UPGRADED,
    "Error": ERROR,
    "Description": ANYTHING,
    "Text": TEXT,
}
"""By the names that the table of pages uses."""
