# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ssl

import pytest

from mesh.compliance import POLICIES, tls_policy


def test_none_and_unknown() -> None:
    assert tls_policy("") is None
    with pytest.raises(ValueError, match="not one of fips-140-2, fips-140-3, pqc"):
        tls_policy("fips")


@pytest.mark.parametrize(
    ("name", "versions", "groups"),
    [
        ("fips-140-2", ("TLSv1_2", "TLSv1_2"), ("prime256v1",)),
        ("fips-140-3", ("TLSv1_2", "TLSv1_3"), ("prime256v1", "secp384r1")),
        ("pqc", ("TLSv1_3", "TLSv1_3"), ("X25519MLKEM768",)),
    ],
)
def test_bounds(name: str, versions: tuple[str, str], groups: tuple[str, ...]) -> None:
    policy = tls_policy(name)
    assert policy is not None
    assert (policy.minimum, policy.maximum) == versions
    assert policy.groups == groups


def test_the_words_are_openssls() -> None:
    for policy in POLICIES.values():
        assert ssl.TLSVersion[policy.minimum] <= ssl.TLSVersion[policy.maximum]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if policy.ciphers:
            context.set_ciphers(policy.ciphers)
            names = {
                each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"
            }
            assert names == set(policy.ciphers.split(":"))
        if not policy.needs_groups:
            context.set_ecdh_curve(policy.groups[0])
