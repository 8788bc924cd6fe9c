# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from mesh.identity import Identity
from sdsserver.options import Mode, SecretOptions, ca_roots, plaintext_address, proxy_uids

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")


@pytest.mark.parametrize(
    ("setting", "provider", "provisioned", "expected"),
    [
        ("SYSTEM", "none", "/prov", None),
        ("/my/root.pem", "custom", "/prov", "/my/root.pem"),
        ("", "custom", "/prov", "./etc/certs/root-cert.pem"),
        ("", "istiod", "/prov", "/prov/root-cert.pem"),
        ("", "istiod", "", "./var/run/secrets/istio/root-cert.pem"),
    ],
)
def test_where_the_cas_roots_are(
    setting: str, provider: str, provisioned: str, expected: str | None
) -> None:
    assert ca_roots(setting=setting, provider=provider, provisioned=provisioned) == expected


def test_no_provider_means_no_roots() -> None:
    with pytest.raises(ValueError, match="no root certificate"):
        ca_roots(setting="", provider="none", provisioned="")


def test_port_15010_is_plaintext() -> None:
    assert plaintext_address("istiod:15010")
    assert not plaintext_address("istiod:15012")


def test_the_socket_follows_the_mode() -> None:
    assert SecretOptions(identity=ME, ca=None).socket.endswith("workload-spiffe-uds/socket")
    files_only = SecretOptions(identity=ME, ca=None, mode=Mode.FILES_ONLY)
    assert files_only.socket.endswith("credential-uds/files-socket")


def test_who_may_connect_by_default() -> None:
    assert proxy_uids(1000) == {0, 1000, 1337}
