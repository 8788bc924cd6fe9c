# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import BadSetting
from mesh.proxyfields import (
    ENUMS,
    MESSAGES,
    duration_text,
    parse_text,
    read_message,
    without_defaults,
)

SCALARS = {"string", "secret", "bool", "int32", "uint32", "double", "duration", "json"}


def read(**fields: Any) -> dict[str, Any]:
    return read_message("ProxyConfig", fields, "PROXY_CONFIG")


def test_every_kind_in_the_table_is_known() -> None:
    kinds = {kind for table in MESSAGES.values() for kind in table.values()}
    plain = {kind.removeprefix("[]").removeprefix("{}").rstrip("?") for kind in kinds}
    assert plain <= SCALARS | set(MESSAGES) | set(ENUMS)


def test_json_and_yaml_read_alike() -> None:
    assert parse_text('{"a": [1, "b"]}', "x") == parse_text("a: [1, b]", "x")
    assert parse_text(" \n", "x") == parse_text("null", "x") == {}


@pytest.mark.parametrize("text", ["[1]", "just words", "7", ": : :\n  - {", "a: b: c"])
def test_text_that_is_no_mapping_names_its_source(text: str) -> None:
    with pytest.raises(BadSetting, match="PROXY_CONFIG"):
        parse_text(text, "PROXY_CONFIG")


def test_the_text_itself_is_not_shown() -> None:
    with pytest.raises(BadSetting) as caught:
        parse_text("accessToken: s3cret\nx: {", "PROXY_CONFIG")
    assert "s3cret" not in str(caught.value)


def test_names_of_both_forms_and_unknown_ones() -> None:
    assert read(discovery_address="a:1", ca_certificates_pem=["x"], noSuchField=1) == {
        "discoveryAddress": "a:1",
        "caCertificatesPem": ["x"],
    }
    assert read(proxyMetadata=None) == {}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"proxyAdminPort": "x"}, r"PROXY_CONFIG\.proxyAdminPort='x': not an integer"),
        ({"proxyAdminPort": True}, "not an integer"),
        ({"proxyAdminPort": 1 << 31}, "not between"),
        ({"discoveryAddress": 5}, "not a string"),
        ({"drainDuration": "soon"}, "not a duration"),
        ({"drainDuration": 5}, "not a duration"),
        ({"concurrency": 1.5}, "not an integer"),
        ({"statsCompression": "yes"}, "not true or false"),
        ({"controlPlaneAuthPolicy": "MAYBE"}, "not one of NONE, MUTUAL_TLS, INHERIT"),
        ({"extraStatTags": "a"}, "not a list"),
        ({"extraStatTags": [1]}, r"extraStatTags\[0\]"),
        ({"proxyMetadata": ["a"]}, "not a map"),
        ({"proxyMetadata": {"A": 1}}, r"proxyMetadata\.A='1': not a string"),
        ({"tracing": "zipkin"}, "not a message"),
        ({"tracing": {"sampling": "half"}}, r"tracing\.sampling"),
        ({"tracing": {"tlsSettings": {"mode": "LOOSE"}}}, r"tracing\.tlsSettings\.mode"),
    ],
)
def test_a_wrong_value_names_its_field(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(BadSetting, match=place):
        read(**fields)


def test_a_secret_is_not_shown_even_when_wrong() -> None:
    with pytest.raises(BadSetting) as caught:
        read(tracing={"lightstep": {"accessToken": 12345}})
    assert "12345" not in str(caught.value)


def test_enums_by_number_and_numbers_by_text() -> None:
    assert read(controlPlaneAuthPolicy=1, statusPort="15020", concurrency=2.0) == {
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "statusPort": 15020,
        "concurrency": 2,
    }


def test_defaults_are_left_out_but_wrappers_and_messages_stay() -> None:
    data = read(
        statusPort=0,
        concurrency=0,
        meshId="",
        controlPlaneAuthPolicy="NONE",
        statsCompression=False,
        tracing={"sampling": 0, "zipkin": {"address": ""}},
        extraStatTags=[],
        serviceCluster="",
    )
    assert without_defaults("ProxyConfig", data) == {
        "concurrency": 0,
        "statsCompression": False,
        "tracing": {"zipkin": {}},
        "serviceCluster": "",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45s"),
        (0.01, "0.010s"),
        (1.5, "1.500s"),
        (0.000001, "0.000001s"),
        (1e-9, "0.000000001s"),
    ],
)
def test_durations_as_proto_json_writes_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
