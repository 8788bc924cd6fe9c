# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bootstrap.platform.fetch import fetch
from bootstrap.platform.found import Fetch, Found, NoAnswer
from tests.bootstrap.platform.fakes import FakeServer


def test_fake_and_real_fit_the_port() -> None:
    ports: list[Fetch] = [fetch, FakeServer({})]
    assert len(ports) == 2


def test_nothing_known_is_a_cluster_of_unknown_make() -> None:
    assert Found().is_kubernetes
    assert "http://x" in str(NoAnswer("http://x", "refused"))
