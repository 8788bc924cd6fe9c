# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BadSetting
from mesh.node import (
    Locality,
    Node,
    NodeOptions,
    Platform,
    assemble,
    headers_from_env,
    node_id,
    parse_downward,
    parse_node_id,
    pilot_san,
)
from mesh.proxyconfig import merge


def node(env: Mapping[str, str] | None = None, *, config: str = "", **arguments: Any) -> Node:
    return assemble(
        id="sidecar~10.0.0.1~a.ns~d",
        env=env or {},
        config=merge(environment=config),
        options=arguments.pop("options", NodeOptions()),
        **arguments,
    )


def test_ids() -> None:
    assert node_id("sidecar", [], "a.b", "c") == "sidecar~~a.b~c"
    assert parse_node_id("router~10.0.0.1~a.b~c").kind == "router"
    with pytest.raises(ValueError, match="has not the form"):
        parse_node_id("sidecar~x")


def test_environment_wins_over_proxy_metadata_and_json_over_both() -> None:
    config = "proxyMetadata: {ISTIO_META_A: c, ISTIO_META_B: c, ISTIO_META_C: c, OTHER: x}"
    env = {"ISTIO_META_B": "e", "ISTIO_META_C": "e", "ISTIO_METAJSON_ANY": '{"C": "j"}'}
    assert node(env, config=config).untyped == {"A": "c", "B": "e", "C": "j"}


def test_json_that_is_no_object_is_told_and_ignored() -> None:
    found = node({"ISTIO_METAJSON_X": "[1]", "ISTIO_METAJSON_LABELS": '{"a": 1}'})
    assert len(found.warnings) == 2
    assert "LABELS" not in found.metadata


def test_own_identity_comes_from_the_downward_variables() -> None:
    found = node({"POD_NAME": "p", "POD_NAMESPACE": "ns", "SERVICE_ACCOUNT": "sa"}).metadata
    assert (found["NAME"], found["NAMESPACE"], found["SERVICE_ACCOUNT"]) == ("p", "ns", "sa")


def test_labels_file_leaves_static_labels_alone() -> None:
    env = {"ISTIO_METAJSON_LABELS": '{"istio-locality": "r.z"}'}
    found = node(env, pod_labels={"app": "x", "pod-template-hash": "1"})
    assert found.metadata["LABELS"] == {"app": "x", "istio-locality": "r/z"}
    assert found.metadata["STATIC_LABELS"] == {"istio-locality": "r.z"}
    assert found.locality == Locality("r", "z", "")


def test_without_a_labels_file_both_show_the_sanitized_locality() -> None:
    found = node({"ISTIO_METAJSON_LABELS": '{"istio-locality": "r.z"}'}).metadata
    assert found["STATIC_LABELS"]["istio-locality"] == "r/z"
    assert found["istio-locality"] == "r.z"


def test_the_newer_locality_label_wins() -> None:
    labels = {"topology.istio.io/locality": "a/b/c", "istio-locality": "x.y.z"}
    assert node(pod_labels=labels).locality == Locality("a", "b", "c")


def test_platform_labels_count_off_kubernetes_only() -> None:
    labels = {"zone": "1"}
    off = Platform(is_kubernetes=False, labels=labels, locality=Locality("r", "z", "s"))
    assert node(platform=off).metadata["STATIC_LABELS"] == labels
    assert node(platform=off).locality == Locality("r", "z", "s")
    assert "STATIC_LABELS" not in node(platform=Platform(labels=labels)).metadata


def test_typed_values_win_over_untyped_ones() -> None:
    found = node({"ISTIO_META_NAME": "q", "POD_NAME": "p", "ISTIO_META_DNS_CAPTURE": "1"})
    assert found.metadata["NAME"] == "p"
    assert found.metadata["DNS_CAPTURE"] == "true"
    assert found.untyped["NAME"] == "q"
    assert list(found.metadata) == sorted(found.metadata)


def test_a_value_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(BadSetting, match="ISTIO_META_DNS_CAPTURE"):
        node({"ISTIO_META_DNS_CAPTURE": "maybe"})


@pytest.mark.parametrize(
    ("hbone", "option", "expected"),
    [("", None, "false"), ("true", None, "true"), ("true", False, "false"), ("", True, "true")],
)
def test_metadata_discovery_follows_hbone_unless_told(
    hbone: str, option: bool | None, expected: str
) -> None:
    env = {"ISTIO_META_ENABLE_HBONE": hbone} if hbone else {}
    found = node(env, options=NodeOptions(metadata_discovery=option))
    assert found.metadata["METADATA_DISCOVERY"] == expected


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ("discoveryAddress: istiod.other:15012", ["istiod.other"]),
        ("discoveryAddress: localhost:15012", ["istiod.istio-system.svc"]),
        ("controlPlaneAuthPolicy: NONE", []),
    ],
)
def test_pilot_san(config: str, names: list[str]) -> None:
    assert pilot_san(merge(environment=config)) == names
    assert node(config=config).metadata.get("PILOT_SAN", []) == names


@pytest.mark.parametrize(
    ("name", "env", "cluster"),
    [
        ("CANONICAL_NAME_ONLY", {}, "istio-proxy"),
        ("CANONICAL_NAME_ONLY", {"ISTIO_META_WORKLOAD_NAME": "w"}, "w"),
        ("CANONICAL_NAME_AND_NAMESPACE", {"POD_NAMESPACE": "ns"}, "istio-proxy.ns"),
        ("APP_LABEL_AND_NAMESPACE", {"ISTIO_META_WORKLOAD_NAME": "w", "POD_NAMESPACE": "n"}, "w.n"),
    ],
)
def test_tracing_service_names(name: str, env: dict[str, str], cluster: str) -> None:
    assert node(env, config=f"tracingServiceName: {name}").cluster == cluster


def test_headers_keep_their_names() -> None:
    env = {"XDS_HEADER_Foo": "a=b", "CA_HEADER_FOO": "c", "XDS_HEADER": "no"}
    assert headers_from_env(env, "XDS_HEADER_") == {"Foo": "a=b"}


@pytest.mark.parametrize(
    "text",
    [
        "k=v",
        'k="',
        'k="a"b"',
        'k="\\q"',
        'k="\\x1"',
        'k="\\777"',
        'k="\\ud800"',
        "k='ab'",
        'k="a" ',
    ],
)
def test_what_go_cannot_unquote(text: str) -> None:
    with pytest.raises(ValueError, match="failed to unquote"):
        parse_downward(text)


def test_go_escapes() -> None:
    text = 'k="\\a\\t\\"\\\\\\x41\\101\\u00e9\\U0001F600"\nb=`raw\\n`\r\nno equals\n'
    assert parse_downward(text) == {"k": '\a\t"\\AAé😀', "b": "raw\\n"}


@given(st.dictionaries(st.from_regex(r"[a-z./-]+", fullmatch=True), st.text()))
def test_what_json_quotes_comes_back(values: dict[str, str]) -> None:
    """JSON's escapes within the basic plane are Go's, but for the solidus that it does not escape."""
    lines = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    assert parse_downward("\n".join(lines)) == values
