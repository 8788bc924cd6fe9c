# SPDX-License-Identifier: Apache-2.0
"""The judge of what the machine wrote takes a good answer, and none of the bad ones."""

from __future__ import annotations

import pytest

from tests.wire.fuzz.faults import END, HELLO, RESPONSE, WHOLE, block, four, frame, head, setting
from tests.wire.fuzz.written import PREFACE, allowed_by, judge
from wire.h2 import frames

ASKED = PREFACE + setting(4, 100) + head(1)
BEGUN = HELLO + frames.SETTINGS_ACK + head(1, RESPONSE)
OVER = BEGUN + frame(frames.DATA, END, 1)


def test_a_good_answer() -> None:
    judge(BEGUN + frame(frames.DATA, END, 1, b"d" * 100), allowed_by(ASKED), client=False)


@pytest.mark.parametrize(
    "wrote",
    [
        pytest.param(head(1, RESPONSE), id="no settings first"),
        pytest.param(BEGUN + frame(frames.DATA, 0, 1, b"d" * 101), id="beyond the window"),
        pytest.param(BEGUN + frame(frames.DATA, 0, 1, b"other"), id="bytes of somebody else"),
        pytest.param(BEGUN + head(3, RESPONSE), id="a stream that nobody opened"),
        pytest.param(BEGUN + frames.reset_frame(3, 8), id="a reset of an idle stream"),
        pytest.param(OVER + frame(frames.DATA, 0, 1), id="after the end"),
        pytest.param(BEGUN + frames.reset_frame(1, 8) + head(1, RESPONSE), id="after a reset"),
        pytest.param(BEGUN + frame(frames.HEADERS, 0, 1, block(RESPONSE)), id="half a block"),
        pytest.param(BEGUN + frame(frames.DATA, 0, 1, b"d")[:-1], id="half a frame"),
        pytest.param(
            BEGUN + frames.goaway_frame(1, 0) + frames.goaway_frame(3, 0), id="GOAWAY that rises"
        ),
        pytest.param(BEGUN + frame(frames.PRIORITY, 0, 1, four(3) + b"\0"), id="PRIORITY"),
        pytest.param(BEGUN + frame(frames.PUSH_PROMISE, WHOLE, 1, four(2)), id="PUSH_PROMISE"),
    ],
)
def test_a_bad_one(wrote: bytes) -> None:
    with pytest.raises(AssertionError):
        judge(wrote, allowed_by(ASKED), client=False)


def test_frames_grow_with_the_acknowledgement_only() -> None:
    asked = PREFACE + setting(5, 20_000) + frame(frames.WINDOW_UPDATE, 0, 0, four(9)) + head(1)
    long = head(1, RESPONSE) + frame(frames.DATA, 0, 1, b"d" * 20_000)
    judge(HELLO + frames.SETTINGS_ACK + long, allowed_by(asked), client=False)
    with pytest.raises(AssertionError):
        judge(HELLO + long + frames.SETTINGS_ACK, allowed_by(asked), client=False)
