# SPDX-License-Identifier: Apache-2.0
"""Connections under a compliance policy, shaken hands with in memory."""

from __future__ import annotations

import ssl

import pytest

from mesh.compliance import POLICIES
from mesh.errors import BadSetting
from tests.support.testca import CA
from wire.h2io.tls import can_choose_groups, client_context, server_context

AUTHORITY = CA()
LEAF = AUTHORITY.issue("localhost")


def shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """The client's side of a finished handshake. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one


def serving() -> ssl.SSLContext:
    return server_context(chain=LEAF.chain, key=LEAF.key)


def asking(policy: str) -> ssl.SSLContext:
    return client_context(roots=AUTHORITY.certificate, policy=POLICIES[policy])


def test_without_a_policy_it_is_the_newest() -> None:
    client = client_context(roots=AUTHORITY.certificate)
    assert shaken(client, serving()).version() == "TLSv1.3"


def test_fips_140_2_is_tls_1_2_with_its_suites() -> None:
    made = shaken(asking("fips-140-2"), serving())
    suite = made.cipher()
    assert made.version() == "TLSv1.2"
    assert suite is not None
    assert suite[0] in POLICIES["fips-140-2"].ciphers.split(":")


def test_fips_140_3_takes_either_version() -> None:
    old = serving()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shaken(asking("fips-140-3"), serving()).version() == "TLSv1.3"
    assert shaken(asking("fips-140-3"), old).version() == "TLSv1.2"


@pytest.mark.parametrize("policy", ["fips-140-2", "fips-140-3"])
def test_another_curve_is_refused(policy: str) -> None:
    server = serving()
    server.set_ecdh_curve("secp521r1")
    with pytest.raises(ssl.SSLError):
        shaken(asking(policy), server)


def test_a_group_that_cannot_be_asked_for_is_no_connection() -> None:
    if can_choose_groups():  # then it is the only one that is offered
        assert shaken(asking("pqc"), serving()).version() == "TLSv1.3"
    else:
        with pytest.raises(BadSetting, match="X25519MLKEM768"):
            asking("pqc")
