# SPDX-License-Identifier: Apache-2.0
"""The table of the admin endpoint's pages, and its OpenAPI description made from it. Pure. Source: DESIGN 4.10."""

from __future__ import annotations

from typing import Any, NamedTuple

PREFIX = "/api/v1"


class Page(NamedTuple):
    """One path and method."""

    method: str
    path: str
    summary: str
    kind: str = "application/json"
    public: bool = False
    """Holds no data: shown over TCP without the token."""
    body: str = ""
    """What a request's body holds; empty: none."""


PAGES = (
    Page("GET", "/", "the page for people, which asks the rest", "text/html", public=True),
    Page("GET", f"{PREFIX}/openapi.json", "this description", public=True),
    Page("GET", f"{PREFIX}/status", "identity, readiness, xDS, Envoy, secrets, resources"),
    Page("GET", f"{PREFIX}/settings", "effective settings and where each value comes from"),
    Page("GET", f"{PREFIX}/nacks", "what Envoy refused of the control plane's pushes"),
    Page("GET", f"{PREFIX}/pushes", "the latest pushes, newest last"),
    Page("GET", f"{PREFIX}/capture", "capture rules that this pod should have, with reasons"),
    Page("GET", f"{PREFIX}/metrics", "the agent's own metrics", "text/plain"),
    Page("GET", f"{PREFIX}/events", "status as server-sent events", "text/event-stream"),
    Page("GET", f"{PREFIX}/logs/levels", "log levels by scope"),
    Page(
        "POST",
        f"{PREFIX}/logs/levels",
        "change log levels until the agent ends",
        body='{"levels": "scope:level,...", "envoy": "level,component:level,..."}',
    ),
    Page(
        "POST",
        f"{PREFIX}/upgrade",
        "let another Envoy program take over (PILOT_HOT_RESTART)",
        body='{"envoy": "/path/to/envoy"}',
    ),
)


def openapi(version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for page in PAGES:
        paths.setdefault(page.path, {})[page.method.lower()] = _operation(page)
    bearer = {"type": "http", "scheme": "bearer", "description": "<state dir>/admin.token"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pilothouse agent", "version": version},
        "components": {"securitySchemes": {"token": bearer}},
        "paths": paths,
    }


def _operation(page: Page) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "done", "content": {page.kind: {}}}}
    if not page.public:
        answers["401"] = {"description": "over TCP, and for what changes something: no token"}
        answers["403"] = {"description": "not this machine, or a Host or Origin of others"}
    operation: dict[str, Any] = {
        "summary": page.summary,
        "operationId": _identifier(page),
        "responses": answers,
        "security": [{}] if page.public else [{"token": []}],
    }
    if page.body:
        example = {"application/json": {"schema": {"type": "object"}, "example": page.body}}
        operation["requestBody"] = {"required": True, "content": example}
        answers["400"] = {"description": "the body cannot be read"}
    return operation


def _identifier(page: Page) -> str:
    words = page.path.removeprefix(PREFIX).replace(".", "/").strip("/").split("/")
    return "_".join([page.method.lower(), *(word for word in words if word)])
