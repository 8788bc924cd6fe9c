# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket

import pytest

from bootstrap.platform.fetch import fetch
from bootstrap.platform.found import NoAnswer
from tests.bootstrap.platform.fakes import http_server


def test_answer_and_headers() -> None:
    with http_server({"/a?b=c": "text"}) as address:
        answer = fetch(f"http://{address}/a?b=c", headers={"X": "y"}, timeout=5)
    assert answer.text == "text"
    assert answer.headers["metadata-flavor"] == "Google"


def test_an_error_status_is_no_answer_unless_asked_for() -> None:
    with http_server({}) as address:
        with pytest.raises(NoAnswer, match="404"):
            fetch(f"http://{address}/x", timeout=5)
        assert fetch(f"http://{address}/x", timeout=5, any_status=True).text == "nothing here"


def test_nobody_there_and_nobody_speaking() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswer, match="timed out"):
            fetch(f"http://{address}/", timeout=0.05)
    with pytest.raises(NoAnswer):
        fetch(f"http://{address}/", timeout=5)
