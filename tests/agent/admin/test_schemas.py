# SPDX-License-Identifier: Apache-2.0
"""The description, judged by validators that are not ours, and every answer of a real agent judged by the description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from agent import http1
from agent.admin import api, schemas
from tests.support.live_sidecar import Sidecar, sidecar

PROBES = {
    "/app-health/client/livez": {"tcpSocket": {"port": 1}},
    "/app-health/client/readyz": {"httpGet": {"port": 1}},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    env = {
        "PILOT_HOT_RESTART": "true",
        "ISTIO_KUBE_APP_PROBERS": json.dumps(PROBES),
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
    }
    with sidecar(tmp_path_factory.mktemp("s"), env) as running:
        running.change_config()
        yield running


@pytest.fixture(scope="module")
def description(real: Sidecar) -> dict[str, Any]:
    """As the agent tells it."""
    found: dict[str, Any] = json.loads(asked(real, "GET", f"{api.PREFIX}/openapi.json").text)
    return found


def asked(
    agent: Sidecar, method: str, path: str, body: bytes = b"", *, token: bool = False
) -> http1.Reply:
    bearer = [("Authorization", f"Bearer {agent.token}")] if token else []
    target = http1.Target("localhost", 80, path, method)
    via = http1.Via(path=agent.socket)
    return asyncio.run(http1.ask(target, timeout=120, headers=bearer, body=body, via=via))


def judge(description: dict[str, Any], path: str, method: str, reply: http1.Reply) -> None:
    """Status, content type and body are as described, to the last field."""
    operation = description["paths"][path][method.lower()]
    assert str(reply.status) in operation["responses"], f"{path}: {reply.status} is not described"
    ((kind, content),) = operation["responses"][str(reply.status)]["content"].items()
    assert dict(reply.headers)["content-type"].startswith(kind)
    document = json.loads(reply.text) if kind == "application/json" else reply.text
    check(description, content["schema"], document)


def check(description: dict[str, Any], schema: dict[str, Any], document: Any) -> None:
    registry: Registry[Any] = Registry()
    registry = registry.with_resource("urn:description", DRAFT202012.create_resource(description))
    absolute = {"$ref": f"urn:description{schema['$ref']}"}
    faults = Draft202012Validator(absolute, registry=registry).iter_errors(document)
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(api.openapi("1.2.3")).validate()
    for schema in schemas.SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_its_examples_are_of_their_schemas() -> None:
    description = api.openapi("1")
    for operations in description["paths"].values():
        for operation in operations.values():
            if body := operation.get("requestBody"):
                content = body["content"]["application/json"]
                check(description, content["schema"], content["example"])


ENDING = [page for page in api.PAGES if page.kind != "text/event-stream"]


@pytest.mark.envoy
@pytest.mark.parametrize("page", ENDING, ids=lambda page: f"{page.method} {page.path}")
def test_a_real_agent_answers_as_described(
    real: Sidecar, description: dict[str, Any], page: api.Page
) -> None:
    if page.method == "GET":
        judge(description, page.path, "GET", asked(real, "GET", page.path))
        return
    judge(description, page.path, "POST", asked(real, "POST", page.path, b"{}"))
    bodies = [b"", b"[]", b'{"envoy": "/does/not/exist"}', page.example.encode()]
    answers = [asked(real, "POST", page.path, body, token=True) for body in bodies]
    for reply in answers:
        judge(description, page.path, "POST", reply)
    assert len({reply.status for reply in answers}) >= 2


@pytest.mark.envoy
async def test_its_events_are_statuses_with_pushes_and_the_time(
    real: Sidecar, description: dict[str, Any]
) -> None:
    target = http1.Target("localhost", 80, f"{api.PREFIX}/events")
    text = b""
    via = http1.Via(path=real.socket)
    async with http1.asking(target, timeout=120, via=via) as answer:
        while b"\n\n" not in text:
            text += await anext(answer.body)
    name, data = text.decode().split("\n\n")[0].split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert (name, event.pop("now") > 0) == ("event: status", True)
    check(description, {"$ref": "#/components/schemas/Pushes"}, {"pushes": event.pop("pushes")})
    check(description, {"$ref": "#/components/schemas/Status"}, event)


def test_the_judge_sees_what_is_missing_and_what_is_too_much() -> None:
    description = api.openapi("1")
    row = {"name": "A", "value": "b", "source": "default"}
    schema = {"$ref": "#/components/schemas/Settings"}
    check(description, schema, {"settings": [row]})
    for spoiled in ({"name": "A", "value": "b"}, {**row, "more": 1}, {**row, "value": 1}):
        with pytest.raises(AssertionError):
            check(description, schema, {"settings": [spoiled]})
