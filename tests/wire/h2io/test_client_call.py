# SPDX-License-Identifier: Apache-2.0
"""What a call of ours says first, and what it refuses to say."""

from __future__ import annotations

import pytest

from wire.h2io import RpcError
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
