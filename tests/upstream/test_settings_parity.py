# SPDX-License-Identifier: Apache-2.0
"""istiod's flags and variables that no other test names: what they say arrives. Source: spec/upstream.md 1.1, 13.2."""

from __future__ import annotations

from functools import reduce

import pytest

from upstream.options import ServeOptions
from upstream.settings import parser, serve_options

BARE = ["discovery", "--registries=", "--httpsAddr=", "--configDir", "/cfg"]


def served(words: list[str], env: dict[str, str]) -> ServeOptions:
    arguments, unknown = parser().parse_known_args([*BARE, *words])
    return serve_options(arguments, unknown, env)


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("TOKEN_AUDIENCES", "a,b", "auth.audiences", ("a", "b")),
        ("PILOT_DEBOUNCE_AFTER", "1s", "push.debounce_after", 1.0),
        ("PILOT_DEBOUNCE_MAX", "20s", "push.debounce_max", 20.0),
        ("PILOT_PUSH_THROTTLE", "7", "push.throttle", 7),
        ("PILOT_MAX_REQUESTS_PER_SECOND", "2.5", "push.streams_per_second", 2.5),
        ("CITADEL_SELF_SIGNED_CA_CERT_TTL", "48h", "ca.root_ttl", 48 * 3600.0),
        ("CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE", "4096", "ca.rsa_bits", 4096),
    ],
)
def test_a_variable(name: str, value: str, path: str, expected: object) -> None:
    found = reduce(getattr, path.split("."), served([], {name: value}))
    assert found == expected


def test_cluster_id_of_the_flag_before_that_of_the_variable() -> None:
    env = {"CLUSTER_ID": "from-env"}
    assert served(["--clusterID=from-flag"], env).cluster_id == "from-flag"
    assert served([], env).cluster_id == "from-env"
    assert served([], {}).cluster_id == "Kubernetes"


def test_client_roots_besides_our_own() -> None:
    words = ["--tlsCertFile=/c", "--tlsKeyFile=/k", "--caCertFile=/r"]
    assert served(words, {}).serving.roots == "/r"
    assert served(words[:2], {}).serving.roots == ""
