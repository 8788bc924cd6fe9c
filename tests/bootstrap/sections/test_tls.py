# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EMPTY_VALIDATION: dict[str, Any] = {"default_validation_context": {}}


def context(settings: dict[str, Any] | None, **metadata: str) -> dict[str, Any] | None:
    from bootstrap.sections.tls import upstream_tls

    socket = upstream_tls(settings, metadata, default_sni="i-should-be-sni")
    if socket is None:
        return None
    printed = socket.to_dict(casing=str)  # type: ignore[arg-type]  # any function of a name
    assert printed["name"] == "envoy.transport_sockets.tls"
    return {key: value for key, value in printed["typed_config"].items() if key != "@type"}


def names_of(common: dict[str, Any]) -> list[str]:
    combined = common["combined_validation_context"]
    secrets = [
        *common.get("tls_certificate_sds_secret_configs", []),
        *filter(None, [combined.get("validation_context_sds_secret_config")]),
    ]
    return [secret["name"] for secret in secrets]


@pytest.mark.parametrize("settings", [None, {}, {"mode": "DISABLE"}])
def test_plaintext(settings: dict[str, Any] | None) -> None:
    assert context(settings) is None


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
def test_no_certificates(mode: str) -> None:
    assert context({"mode": mode}) == {
        "common_tls_context": {
            "combined_validation_context": EMPTY_VALIDATION,
            "alpn_protocols": ["h2"],
        }
    }


def test_root_from_settings_then_from_metadata() -> None:
    settings = {"mode": "SIMPLE", "caCertificates": "foo.pem", "sni": "foo"}
    found = context(settings)
    assert found is not None
    assert names_of(found["common_tls_context"]) == ["file-root:foo.pem"]
    assert found["sni"] == "foo"
    found = context(settings, TLS_CLIENT_ROOT_CERT="/foo/bar/baz.pem")
    assert found is not None
    assert names_of(found["common_tls_context"]) == ["file-root:/foo/bar/baz.pem"]


def test_mutual_with_files() -> None:
    settings = {
        "mode": "MUTUAL",
        "clientCertificate": "foo",
        "privateKey": "im-private-foo",
        "sni": "bar",
    }
    found = context(settings)
    assert found is not None
    assert names_of(found["common_tls_context"]) == ["file-cert:foo~im-private-foo"]
    found = context(settings, TLS_CLIENT_CERT_CHAIN="c", TLS_CLIENT_KEY="k")
    assert found is not None
    assert names_of(found["common_tls_context"]) == ["file-cert:c~k"]


def test_simple_shows_no_certificate_of_its_own() -> None:
    found = context({"mode": "SIMPLE", "clientCertificate": "foo", "privateKey": "bar"})
    assert found is not None
    assert names_of(found["common_tls_context"]) == []


def test_mesh_mutual() -> None:
    found = context({"mode": "ISTIO_MUTUAL", "subjectAltNames": ["a", "b"]})
    assert found is not None
    common = found["common_tls_context"]
    assert names_of(common) == ["default", "ROOTCA"]
    assert common["alpn_protocols"] == ["istio", "h2"]
    assert found["sni"] == "i-should-be-sni"
    source = common["tls_certificate_sds_secret_configs"][0]["sds_config"]
    assert source["initial_fetch_timeout"] == "0s"
    validation = common["combined_validation_context"]["default_validation_context"]
    assert validation["match_subject_alt_names"] == [{"exact": "a"}, {"exact": "b"}]
