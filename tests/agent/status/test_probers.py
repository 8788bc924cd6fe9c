# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from agent.status.probers import (
    Action,
    Exec,
    GrpcCheck,
    HealthProbe,
    HttpGet,
    Prober,
    TcpSocket,
    app_probers,
    described,
    health_probe,
)
from mesh.errors import BadSetting

PATH = "/app-health/web/livez"


def one(given: Any) -> Prober:
    return app_probers(json.dumps({PATH: given}))[PATH]


def test_the_kinds() -> None:
    assert one({"httpGet": {"port": 8}}) == Prober(HttpGet(8, "/"))
    https = {"path": "x", "port": 8, "scheme": "HTTPS"}
    assert one({"httpGet": https, "timeoutSeconds": 3}) == Prober(HttpGet(8, "/x", https=True), 3)
    assert one({"tcpSocket": {"port": 9}}) == Prober(TcpSocket(9))
    assert one({"gRPC": {"port": 9, "service": None}}) == Prober(GrpcCheck(9))
    assert one({"grpc": {"port": 9, "service": "a"}, "httpGet": None}) == Prober(GrpcCheck(9, "a"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("x", "failed to decode"),
        ({}, "invalid prober type"),
        ({"exec": {"command": ["true"]}}, "invalid prober type"),
        ({"httpGet": "x"}, "invalid prober type"),
        ({"httpGet": {"port": "http"}}, "must be int type"),
        ({"httpGet": {"port": True}}, "must be int type"),
        ({"httpGet": {"port": 1}, "timeoutSeconds": "1s"}, "failed to decode"),
    ],
)
def test_what_the_peer_refuses(given: Any, why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        one(given)


@pytest.mark.parametrize("text", ["[]", "nope", "1"])
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(BadSetting, match="failed to decode app prober"):
        app_probers(text)
    assert app_probers("") == {}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (HttpGet(80, "/a?token=b", headers=(("A", "b"),)), "GET http://pod:80/a?..."),
        (HttpGet(80, "/", https=True, host="h"), "GET https://h:80/"),
        (TcpSocket(1), "TCP pod:1"),
        (GrpcCheck(2, "s"), "gRPC pod:2 s"),
        (Exec(("sh", "-c", "secret")), "command sh"),
    ],
)
def test_in_words(action: Action, words: str) -> None:
    assert described(action) == words


def test_readiness_defaults() -> None:
    given = {"httpGet": {"port": 80}}
    assert health_probe(given) == HealthProbe(Prober(HttpGet(80), 1.0))


def test_readiness_in_full() -> None:
    header = {"name": "A", "value": "b"}
    given = {
        "initialDelaySeconds": 1,
        "timeoutSeconds": 2,
        "periodSeconds": 3,
        "successThreshold": 4,
        "failureThreshold": 5,
        "httpGet": {
            "port": 1,
            "path": "/p",
            "host": "h",
            "scheme": "HTTPS",
            "httpHeaders": [header],
        },
    }
    action = HttpGet(1, "/p", https=True, host="h", headers=(("A", "b"),))
    assert health_probe(given) == HealthProbe(Prober(action, 2.0), 1, 3, 4, 5)
    assert health_probe({"exec": {"command": ["a", "b"]}}).prober.action == Exec(("a", "b"))
    assert health_probe({"tcpSocket": {"port": 1, "host": "h"}}).prober.action == TcpSocket(1, "h")
    assert health_probe({"grpc": {"port": 1, "service": "s"}}).prober.action == GrpcCheck(1, "s")


@pytest.mark.parametrize("given", [{}, {"periodSeconds": 1}, {"tcpSocket": {"port": "x"}}])
def test_readiness_that_cannot_be_read(given: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        health_probe(given)
