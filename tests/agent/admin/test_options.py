# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.admin.options import tcp_address
from mesh.errors import BadSetting


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("", 0)),
        ("127.0.0.1:15099", ("127.0.0.1", 15099)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:1", ("localhost", 1)),
        (":7", ("127.0.0.1", 7)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert tcp_address(text) == address


@pytest.mark.parametrize(
    "text", ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "localhost", "localhost:x", "localhost:70000"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(BadSetting) as error:
        tcp_address(text)
    assert error.value.name == "PILOT_ADMIN_ADDR"
