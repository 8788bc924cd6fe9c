# SPDX-License-Identifier: Apache-2.0
"""What a call of ours says first, and what it refuses to say."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.grpc_running import serving
from wire.h2.frames import ErrorCode
from wire.h2io import Code, RpcError, ServerCall, connect
from wire.h2io.client_call import request_headers


def test_headers_of_a_call() -> None:
    fields = dict(request_headers("/s/M", "a", tls=True, timeout=1.0, metadata=[("x-a", "1")]))
    assert (fields[":scheme"], fields["te"], fields["x-a"]) == ("https", "trailers", "1")
    assert fields["grpc-timeout"] == "1000000u"


@pytest.mark.parametrize(
    ("name", "value"),
    [("authorization", "Bearer s3cret\n"), ("Upper", "x"), (":path", "/"), ("connection", "close")],
)
def test_metadata_that_http2_cannot_carry_is_refused_without_its_value(
    name: str, value: str
) -> None:
    with pytest.raises(RpcError, match="metadata that cannot be sent") as refused:
        request_headers("/s/M", "a", tls=False, timeout=None, metadata=[(name, value)])
    assert "s3cret" not in str(refused.value)


async def test_a_server_that_resets_a_call_past_its_deadline_was_faster_and_no_canceller() -> None:
    async def wait(call: ServerCall) -> None:
        await asyncio.Event().wait()

    async with serving({"/s/Wait": wait}) as running:
        connection = await connect(running.target)
        early = connection.open("/s/Wait", timeout=60)
        early.on_reset(ErrorCode.CANCEL)
        late = connection.open("/s/Wait", timeout=0.001)
        time.sleep(0.01)  # noqa: ASYNC251  our own timer must not fire yet
        late.on_reset(ErrorCode.CANCEL)
        await connection.close()
    assert early.status is not None
    assert late.status is not None
    assert (early.status.code, late.status.code) == (Code.CANCELLED, Code.DEADLINE_EXCEEDED)
