# SPDX-License-Identifier: Apache-2.0
"""What the agent's variables and ProxyConfig mean for secrets, through the settings as a user writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.settings import World, load
from mesh.errors import BadSettings
from sdsserver.options import SecretOptions


def secrets(**env: str) -> SecretOptions:
    return load(World(env=env, uid=7)).secrets


def test_the_proxys_user_and_group_are_admitted_and_nobody_else() -> None:
    found = secrets()
    assert found.allow_uids == frozenset({0, 7, 1337})
    assert found.allow_gids == frozenset({1337})


@pytest.mark.parametrize(
    ("text", "uids", "gids"),
    [
        ("any", None, frozenset()),
        ("proxy", {0, 7, 1337}, {1337}),
        ("5, 6", {5, 6}, frozenset()),
    ],
)
def test_who_may_connect_can_be_set(text: str, uids: Any, gids: Any) -> None:
    found = secrets(PILOT_UDS_ALLOW=text)
    assert (found.allow_uids, found.allow_gids) == (uids, gids)


def test_without_envoy_anyone_may_ask() -> None:
    assert secrets(DISABLE_ENVOY="true").allow_uids is None


def test_further_cas_share_roots_and_credentials_but_not_the_name() -> None:
    found = secrets(
        CA_ADDR="first:15012",
        PILOT_CA_FALLBACKS="second.ns.svc:15012, third:15010",
        PROV_CERT="/prov",
        ISTIO_META_CLUSTER_ID="c1",
        CA_HEADER_X="y",
    )
    assert found.ca is not None
    assert found.ca.address == "first:15012"
    second, third = found.more_cas
    assert (second.address, second.server_name, second.tls) == (
        "second.ns.svc:15012",
        "second.ns.svc",
        True,
    )
    assert (third.address, third.tls) == ("third:15010", False)
    for one in found.more_cas:
        assert (one.provisioned, one.cluster_id, one.headers) == ("/prov", "c1", {"X": "y"})


def test_a_further_ca_that_is_no_address_is_named() -> None:
    with pytest.raises(BadSettings, match="PILOT_CA_FALLBACKS='nowhere': not host:port"):
        secrets(PILOT_CA_FALLBACKS="a:1,nowhere")


def test_files_mean_no_ca_at_all() -> None:
    found = secrets(FILE_MOUNTED_CERTS="true", PILOT_CA_FALLBACKS="a:1")
    assert (found.ca, found.more_cas) == (None, ())


@pytest.mark.parametrize("name", ["cryptomb", "qat"])
def test_of_the_poll_delay_only_the_nanoseconds_count(name: str) -> None:
    config = {"privateKeyProvider": {name: {"pollDelay": "2.000010s", "fallback": True}}}
    found = secrets(PROXY_CONFIG=json.dumps(config))
    assert (found.key_provider, found.key_provider_poll_nanos, found.key_provider_fallback) == (
        name,
        10_000,
        True,
    )


def test_without_a_provider_the_key_is_in_the_secret() -> None:
    assert secrets().key_provider == ""
