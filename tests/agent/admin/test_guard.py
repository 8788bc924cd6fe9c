# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.admin.guard import refusal
from agent.httpd import Request


def status(
    peer: str,
    *headers: tuple[str, str],
    method: str = "GET",
    public: bool = False,
    token: str = "t",
) -> int:
    given = Request(method, "/", "", headers, peer)
    refused = refusal(given, token=token, port=9000, public=public)
    return refused.status if refused else 200


HOST = ("host", "127.0.0.1:9000")
BEARER = ("authorization", "Bearer t")


def test_the_socket() -> None:
    assert status("") == 200
    assert status("", method="POST") == 401
    assert status("", BEARER, method="POST") == 200
    assert status("", ("authorization", "Basic t"), method="POST") == 401
    assert status("", ("authorization", "bearer  t "), method="POST") == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9000", "localhost:9000", "[::1]:9000", "LOCALHOST:9000"]
)
def test_our_names(host: str) -> None:
    assert status("127.0.0.1", ("host", host), BEARER) == 200


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1", "127.0.0.1:9001", "a.example:9000", "127.0.0.1.a:9000"]
)
def test_names_of_others(host: str) -> None:
    assert status("127.0.0.1", ("host", host), BEARER) == 403
    assert status("127.0.0.1", ("host", host), public=True) == 403


def test_peers_and_origins() -> None:
    assert status("10.0.0.1", HOST, BEARER) == 403
    assert status("127.0.0.1", HOST, BEARER, ("origin", "null")) == 403
    assert status("127.0.0.1", HOST, BEARER, ("origin", "http://localhost:9000")) == 200
    assert status("127.0.0.1", HOST, BEARER, ("origin", "https://localhost:9000")) == 403


def test_what_is_public_still_changes_nothing_without_the_token() -> None:
    assert status("127.0.0.1", HOST, public=True) == 200
    assert status("127.0.0.1", HOST, public=True, method="POST") == 401


def test_without_a_token_of_ours_nobody_has_it() -> None:
    assert status("127.0.0.1", HOST, ("authorization", "Bearer "), token="") == 401
