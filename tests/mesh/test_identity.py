# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mesh.identity import Identity


def test_round_trip() -> None:
    uri = "spiffe://cluster.local/ns/demo/sa/reviews"
    assert str(Identity.parse(uri)) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://cluster.local/ns/a/sa/b",
        "spiffe://d/ns/a",
        "spiffe://d/namespace/a/sa/b",
        "spiffe://d/ns/a/sa/b/c",
    ],
)
def test_other_shapes_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not spiffe://"):
        Identity.parse(uri)
