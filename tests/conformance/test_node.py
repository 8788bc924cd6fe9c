# SPDX-License-Identifier: Apache-2.0
"""Node identity, metadata, ProxyConfig merge and single bootstrap values, as the suite's README compares them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mesh.errors import BadSetting
from mesh.node import Locality as NodeLocality
from mesh.node import (
    Node,
    NodeOptions,
    Platform,
    assemble,
    cluster_or_default,
    headers_from_env,
    node_id,
    parse_downward,
    parse_node_id,
    sanitized_locality,
)
from mesh.nodemeta import is_empty, normal, parse_bool, parse_list, parse_ports, string_bool
from mesh.proxyconfig import CONFIG_ANNOTATION, ProxyConfig, merge
from tests.conformance.runner import Case, cases
from tests.support.bootstrap import authored, inputs_for, parsed, stats_lists

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@cases("node/node_id")
def test_node_id(case: Case) -> None:
    data = case.data
    text = node_id(data["type"], data["ip_addresses"], data["id"], data["dns_domain"])
    assert text == data["node_id"]
    parts = parse_node_id(text)
    assert parts == (data["type"], data["ip_addresses"][0], data["id"], data["dns_domain"])


@cases("node/metadata")
def test_metadata(case: Case) -> None:
    expect = case.data["expect"]
    if "error" in expect:
        with pytest.raises(BadSetting, match=expect["error"]):
            node_of(case)
        return
    node = node_of(case)
    assert node.typed == expect["metadata"]
    assert node.untyped == expect["raw_metadata"]
    assert node.metadata == {**expect["raw_metadata"], **expect["metadata"]}
    assert node.locality._asdict() == expect["locality"]
    assert node.cluster == expect["cluster"]


def node_of(case: Case) -> Node:
    data = case.data
    files = {
        name: parse_downward(data["pod_files"][name]) if name in data["pod_files"] else None
        for name in ("labels", "annotations")
    }
    return assemble(
        id="sidecar~1.2.3.4~foo~bar",
        env=data["env"],
        config=ProxyConfig.from_raw(data["proxy_config"]),
        options=options_of(data["options"]),
        pod_labels=files["labels"],
        pod_annotations=files["annotations"],
        platform=Platform(
            is_kubernetes=data["platform"]["is_kubernetes"],
            metadata=data["platform"]["metadata"],
            labels=data["platform"]["labels"],
            locality=NodeLocality(*data["platform"]["locality"]),
        ),
    )


def options_of(given: dict[str, Any]) -> NodeOptions:
    return NodeOptions(
        version="binary-1.0",
        instance_ips=given.get("instance_ips", ()),
        sts_port=given.get("sts_port", 0),
        exit_on_zero_active_connections=given.get("exit_on_zero_active_connections", False),
        metadata_discovery=given.get("metadata_discovery"),
        skip_deprecated_logs=given.get("skip_deprecated_logs", False),
        workload_identity_socket_file=given.get("workload_identity_socket_file", ""),
        credential_socket_exists=given.get("credential_socket_exists", False),
        serves_only_files=given.get("credential_files_exist", False),
        pilot_san=(),
    )


@cases("node/metadata_codecs")
def test_metadata_codecs(case: Case) -> None:
    data = case.data
    match data["kind"]:
        case "node_metadata_roundtrip":
            values = json.loads(data["json"])
            assert {key: normal(key, value) for key, value in values.items()} == values
            assert not any(is_empty(key, value) for key, value in values.items())
        case "locality_label":
            assert sanitized_locality(data["label"]) == data["expect"]["value"]
        case kind:
            check_codec(kind, json.loads(data["json"]), data["expect"])


def check_codec(kind: str, value: Any, expect: dict[str, Any]) -> None:
    key = {
        "string_list": "INSTANCE_IPS",
        "pod_port_list": "POD_PORTS",
        "string_bool": "DNS_CAPTURE",
    }
    if expect["error"]:
        with pytest.raises(BadSetting, match=expect.get("error_text")):
            normal(key[kind], value)
        return
    encoded = json.loads(expect["encodes_to"])
    match kind:
        case "string_list":
            assert parse_list(value) == expect["value"]
            assert ",".join(parse_list(value)) == encoded
        case "pod_port_list":
            assert parse_ports(value) == expect["value"]
            assert json.loads(normal(key[kind], value) or "[]") == json.loads(encoded)
        case _:
            assert string_bool(parse_bool(value)) == encoded


@cases("node/downward_api")
def test_downward_api(case: Case) -> None:
    expect = case.data["expect"]
    if expect["error"]:
        with pytest.raises(ValueError, match="failed to unquote"):
            parse_downward(case.data["text"])
    else:
        assert parse_downward(case.data["text"]) == expect["map"]


@cases("node/service_cluster")
def test_service_cluster(case: Case) -> None:
    meta = case.data["metadata"]
    cluster = cluster_or_default(
        case.data["service_cluster"],
        meta.get("LABELS", {}),
        meta.get("WORKLOAD_NAME", ""),
        meta.get("NAMESPACE", ""),
    )
    assert cluster == case.data["expect"]["cluster"]


@cases("node/proxy_config_merge")
def test_proxy_config_merge(case: Case) -> None:
    data = case.data
    annotations = {CONFIG_ANNOTATION: data["annotation"]} if data["annotation"] else {}
    texts = {"mesh_file": data["mesh_file"], "environment": data["proxy_config_env"]}
    if data["expect"]["error"]:
        with pytest.raises(BadSetting):
            merge(**texts, annotations=annotations)
        return
    assert merge(**texts, annotations=annotations).raw == data["expect"]["default_config"]


@cases("node/ca_headers")
def test_ca_headers(case: Case) -> None:
    headers = headers_from_env(case.data["env"], "CA_HEADER_")
    assert headers == case.data["expect"]["ca_headers"]


@cases("node/downstream_limit")
def test_downstream_limit(case: Case) -> None:
    from bootstrap.sections.overload import connection_limit

    limit = connection_limit(inputs_for(proxy_config=case.data["proxy_config"]))
    assert limit == case.data["expect"]["global_downstream_max_connections"]


@cases("node/bootstrap_params")
def test_bootstrap_params(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    if "regex" in data:
        assert (re.search(data["regex"], data["matches"]) is not None) == expect["matches"]
        assert data["regex"] in stats_lists(json.loads(authored(inputs_for())))["regexps"]
        return
    node = assemble(
        id="sidecar~1.2.3.4~foo~bar",
        env=data.get("env", {}),
        config=ProxyConfig.from_raw({}),
        options=NodeOptions(version=data.get("build_version", ""), **data.get("options", {})),
    )
    document = json.loads(authored(inputs_for(metadata=node.metadata)))
    if "stats_inclusion_suffixes" in expect:
        assert stats_lists(document)["suffixes"] == expect["stats_inclusion_suffixes"]
    if "enable_self_discovery" in expect:
        discovered = document["cluster_manager"].get("local_cluster_name") == "local_cluster"
        assert discovered == expect["enable_self_discovery"]
    if "ISTIO_VERSION" in expect:
        assert document["node"]["metadata"]["ISTIO_VERSION"] == expect["ISTIO_VERSION"]


@cases("node/stat_tags")
def test_stat_tags(case: Case) -> None:
    bootstrap = parsed(authored(inputs_for()))
    tags = {tag.tag_name: tag.regex for tag in bootstrap.stats_config.stats_tags}
    regex = tags[case.data["tag_name"]].replace("[:digit:]", "0-9")  # POSIX class, unknown to re
    found = re.search(regex, case.data["stat"])
    assert found is not None
    expect = case.data["expect"]
    assert (found[1], found[2]) == (expect["group1"], expect["group2"])
