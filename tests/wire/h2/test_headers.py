# SPDX-License-Identifier: Apache-2.0
"""Header lists: the malformed ones of RFC 9113 section 8, one by one."""

from __future__ import annotations

import pytest

from wire.h2.headers import Headers, content_length, request_fault, response_fault, trailers_fault

GOOD: Headers = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a"),
    (":authority", "x"),
    ("te", "trailers"),
]


def test_good_lists() -> None:
    assert request_fault(GOOD) == ""
    assert response_fault([(":status", "200"), ("content-type", "x")]) == ""
    assert trailers_fault([("grpc-status", "0")]) == ""


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (GOOD[1:], "missing :method"),
        ([*GOOD[:2], *GOOD[3:]], "missing :path"),
        ([*GOOD[:2], (":path", "")], "empty :path"),
        ([GOOD[0], *GOOD], ":method twice"),
        ([*GOOD, (":late", "x")], ":late after a regular field"),
        ([(":status", "200"), *GOOD], "unexpected pseudo-header :status"),
        ([*GOOD, ("Upper", "x")], "bad field name 'Upper'"),
        ([*GOOD, ("sp ace", "x")], "bad field name 'sp ace'"),
        ([*GOOD, ("", "x")], "bad field name ''"),
        ([*GOOD, ("connection", "close")], "connection-specific field connection"),
        ([*GOOD, ("transfer-encoding", "chunked")], "connection-specific field transfer-encoding"),
        ([*GOOD, ("te", "gzip")], "te other than trailers"),
        ([*GOOD, ("x", "a\r\nb: c")], "a line break or NUL in the value of x"),
        ([*GOOD, ("x", "\0")], "a line break or NUL in the value of x"),
        ([*GOOD, ("x", " y")], "white space around the value of x"),
        ([*GOOD, ("x", "y\t")], "white space around the value of x"),
        ([*GOOD[:2], (":path", "/ ")], "white space around the value of :path"),
    ],
)
def test_malformed_requests(headers: Headers, why: str) -> None:
    assert request_fault(headers) == why


def test_malformed_responses_and_trailers() -> None:
    assert response_fault([("a", "b")]) == "missing :status"
    assert response_fault([(":path", "/")]) == "unexpected pseudo-header :path"
    assert trailers_fault([(":status", "200")]) == "unexpected pseudo-header :status"


@pytest.mark.parametrize(
    "status", ["", "20", "2000", "abc", "+20", " 20", "\u0662\u0660\u0660", "2\xb20"]
)
def test_a_status_has_three_digits(status: str) -> None:
    assert response_fault([(":status", status)])


def test_a_status_message_may_end_in_a_space() -> None:
    assert trailers_fault([("grpc-message", "no way ")]) == ""


@pytest.mark.parametrize(
    ("value", "length"), [("0", 0), ("12", 12), ("-1", -1), ("1x", -1), ("", -1)]
)
def test_content_length(value: str, length: int) -> None:
    assert content_length([("content-length", value)]) == length
    assert content_length([]) is None


@pytest.mark.parametrize("status", ["204", "304"])
def test_answers_without_content_may_tell_its_length(status: str) -> None:
    assert content_length([(":status", status), ("content-length", "9")]) is None
    assert content_length([(":status", "200"), ("content-length", "9")]) == 9
