# SPDX-License-Identifier: Apache-2.0
"""The table of the admin endpoint's pages, and its OpenAPI description made from it. Pure. Source: DESIGN 4.10."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

PREFIX = "/api/v1"


class Page(NamedTuple):
    """One path and method."""

    method: str
    path: str
    summary: str
    answers: str = "Text"
    """Name of the schema of the answer with status 200, in ``schemas``."""
    kind: str = "application/json"
    public: bool = False
    """Holds no data: shown over TCP without the token."""
    asks: str = ""
    """Name of the schema of the request's body; empty: none."""
    example: str = ""
    """Such a body."""
    fails: tuple[tuple[int, str], ...] = ()
    """Further statuses, and what each means."""


_UNREADABLE = (400, "the body cannot be read; nothing is changed")

PAGES = (
    Page("GET", "/", "the page for people, which asks the rest", kind="text/html", public=True),
    Page("GET", f"{PREFIX}/openapi.json", "this description", "Description", public=True),
    Page(
        "GET", f"{PREFIX}/status", "identity, readiness, xDS, Envoy, secrets, resources", "Status"
    ),
    Page(
        "GET",
        f"{PREFIX}/settings",
        "effective settings and where each value comes from",
        "Settings",
    ),
    Page("GET", f"{PREFIX}/nacks", "what Envoy refused of the control plane's pushes", "Nacks"),
    Page("GET", f"{PREFIX}/pushes", "the latest pushes, newest last", "Pushes"),
    Page(
        "GET",
        f"{PREFIX}/capture",
        "capture rules that this pod should have, with reasons",
        "Capture",
    ),
    Page("GET", f"{PREFIX}/metrics", "the agent's own metrics", kind="text/plain"),
    Page(
        "GET",
        f"{PREFIX}/events",
        "status, with the pushes and the agent's time, as server-sent events named status",
        kind="text/event-stream",
        fails=((503, "too many watch already"),),
    ),
    Page("GET", f"{PREFIX}/logs/levels", "log levels by scope", "Levels"),
    Page(
        "POST",
        f"{PREFIX}/logs/levels",
        "change log levels until the agent ends",
        "Levels",
        asks="SetLevels",
        example='{"levels": "xdsproxy:debug", "envoy": "warning,upstream:debug"}',
        fails=(_UNREADABLE, (502, "Envoy refuses, or does not answer; nothing is changed")),
    ),
    Page(
        "POST",
        f"{PREFIX}/upgrade",
        "let another Envoy program take over (PILOT_HOT_RESTART)",
        "Upgraded",
        asks="Upgrade",
        example='{"envoy": "/path/to/envoy"}',
        fails=(_UNREADABLE, (409, "the former one serves on")),
    ),
)


def openapi(version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    from agent.admin.schemas import SCHEMAS  # for who asks for the description

    paths: dict[str, Any] = {}
    for page in PAGES:
        paths.setdefault(page.path, {})[page.method.lower()] = _operation(page)
    bearer = {"type": "http", "scheme": "bearer", "description": "<state dir>/admin.token"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pilothouse agent",
            "version": version,
            "description": "On a unix socket for the agent's user, and on loopback TCP with the token.",
        },
        "components": {"securitySchemes": {"token": bearer}, "schemas": SCHEMAS},
        "paths": paths,
    }


def _operation(page: Page) -> dict[str, Any]:
    answers = {"200": _answer("done", page.kind, page.answers)}
    refusals = [*page.fails]
    if not page.public:
        refusals.append((401, "over TCP, and for what changes something: no token"))
    refusals.append((403, "not this machine, or a Host or Origin of others"))
    for status, why in sorted(refusals):
        answers[str(status)] = _answer(why, "application/json", "Error")
    operation: dict[str, Any] = {
        "summary": page.summary,
        "operationId": _identifier(page),
        "responses": answers,
        "security": [{}] if page.public else [{"token": []}],
    }
    if page.asks:
        body = {"schema": _reference(page.asks), "example": json.loads(page.example)}
        operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


def _answer(why: str, kind: str, schema: str) -> dict[str, Any]:
    return {"description": why, "content": {kind: {"schema": _reference(schema)}}}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _identifier(page: Page) -> str:
    words = page.path.removeprefix(PREFIX).replace(".", "/").strip("/").split("/")
    return "_".join([page.method.lower(), *(word for word in words if word)])
