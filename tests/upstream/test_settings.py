# SPDX-License-Identifier: Apache-2.0
"""Command lines of istiod's kind in, one frozen tree or all faults at once out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mesh.errors import BadSetting, BadSettings
from mesh.log import Level
from upstream.options import Address, JwtRule, Profile, ServeOptions, TokenOptions
from upstream.settings import jwt_rule, parser, serve_options, token_options

ISTIOD = [
    *["discovery", "--registries=", "--configDir=/cfg", "--meshConfig=/mesh.yaml"],
    *["--networksConfig=/nonexistent", "--httpAddr=127.0.0.1:8080", "--grpcAddr=127.0.0.1:15010"],
    *["--secureGRPCAddr=127.0.0.1:15012", "--httpsAddr=", "--monitoringAddr=127.0.0.1:15014"],
    *["--ctrlz_port=0", "--log_output_level=default:info,ads:debug"],
]
BARE = ["discovery", "--registries=", "--httpsAddr=", "--configDir", "/cfg"]


def serve(*argv: str, env: Mapping[str, str] | None = None) -> ServeOptions:
    arguments, unknown = parser().parse_known_args(argv)
    return serve_options(arguments, unknown, env or {})


def token(*argv: str) -> TokenOptions:
    return token_options(parser().parse_args(["token", *argv]))


def test_command_line_of_istiod_off_cluster() -> None:
    options = serve(*ISTIOD)
    assert options.sources.config_dir == "/cfg"
    assert options.sources.mesh_config == "/mesh.yaml"
    assert options.listen.grpc == Address(host="127.0.0.1", port=15010)
    assert options.listen.secure_grpc == Address(host="127.0.0.1", port=15012)
    assert options.listen.monitoring == Address(host="127.0.0.1", port=15014)
    assert options.log.levels == {"default": Level.INFO, "ads": Level.DEBUG}
    assert options.notes == ("ctrlz is not served: its flags are ignored",)


def test_defaults() -> None:
    options = serve(*BARE)
    assert [str(one) for one in (options.listen.grpc, options.listen.secure_grpc)] == [
        ":15010",
        ":15012",
    ]
    assert [str(one) for one in (options.listen.http, options.listen.monitoring)] == [
        ":8080",
        ":15014",
    ]
    assert options.ca.plugged_dir == "./etc/cacerts"
    assert options.profile is Profile.STOCK
    assert options.serving.names == (
        "istio-pilot.istio-system.svc",
        "istiod-remote.istio-system.svc",
        "istiod.istio-system.svc",
    )
    assert options.auth.required
    assert options.notes == ()


def test_serve_is_discovery() -> None:
    assert serve("serve", *BARE[1:]) == serve(*BARE)


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        ("127.0.0.1:0", True),
        ("[::1]:0", True),
        ("localhost:1", True),
        (":15012", False),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("", False),
    ],
)
def test_development_issuer_is_believed_on_loopback_only(address: str, believed: bool) -> None:
    assert serve(*BARE, f"--secureGRPCAddr={address}").auth.development is believed


def test_unknown_flags_are_noted_and_ignored() -> None:
    options = serve(*BARE, "--plugins=x", "--keepaliveInterval", "30s")
    assert options.notes == (
        "flag --plugins is unknown and ignored",
        "flag --keepaliveInterval is unknown and ignored",
    )


def test_kubernetes_is_noted() -> None:
    notes = serve("discovery", "--configDir=/cfg").notes
    assert any("no Kubernetes registry" in note for note in notes)
    assert any("webhooks are not served" in note for note in notes)


def test_all_faults_at_once() -> None:
    with pytest.raises(BadSettings) as caught:
        serve(
            *["discovery", "--registries=Mock", "--grpcAddr=nonsense", "--tlsCertFile=/c"],
            *["--profile=other", "--log_output_level=ads:loud", "--state-dir="],
            env={"JWT_RULE": "{"},
        )
    assert {fault.name for fault in caught.value.faults} == {
        *["--configDir", "--registries", "--grpcAddr", "--tlsKeyFile", "--profile"],
        *["--log_output_level", "--state-dir", "JWT_RULE"],
    }
    assert all(fault.hint for fault in caught.value.faults)


def test_nothing_to_serve_on() -> None:
    with pytest.raises(BadSettings, match="nothing would serve xDS"):
        serve(*BARE, "--grpcAddr=", "--secureGRPCAddr=")


def test_environment() -> None:
    env = {
        "ROOT_CA_DIR": "/ca",
        "DEFAULT_WORKLOAD_CERT_TTL": "1h",
        "MAX_WORKLOAD_CERT_TTL": "2h",
        "XDS_AUTH": "false",
        "PILOT_ENABLE_XDS_IDENTITY_CHECK": "0",
        "PILOT_DEBOUNCE_AFTER": "10ms",
        "PILOT_PUSH_THROTTLE": "7",
        "ISTIOD_CUSTOM_HOST": "localhost, pilot.example",
        "REVISION": "canary",
        "POD_NAMESPACE": "mesh",
        "CLUSTER_ID": "c1",
        "JWT_RULE": '{"issuer": "https://test", "jwksUri": "http://x/", "audiences": ["a"]}',
    }
    options = serve(*BARE, env=env)
    assert (options.ca.plugged_dir, options.ca.default_ttl, options.ca.max_ttl) == (
        "/ca",
        3600,
        7200,
    )
    assert (options.auth.required, options.auth.check_identity) == (False, False)
    assert (options.push.debounce_after, options.push.throttle) == (0.01, 7)
    assert options.cluster_id == "c1"
    assert options.auth.rule == JwtRule(
        issuer="https://test", audiences=("a",), jwks_uri="http://x/"
    )
    wanted = {"localhost", "pilot.example", "istiod-canary.mesh.svc", "istiod.mesh.svc"}
    assert wanted | {"istiod.istio-system.svc"} <= set(options.serving.names)


def test_bad_variable_is_said_and_replaced() -> None:
    env = {
        "PILOT_DEBOUNCE_AFTER": "soon",
        "PILOT_DEBOUNCE_MAX": "-1s",
        "PILOT_MAX_REQUESTS_PER_SECOND": "nan",
        "MAX_WORKLOAD_CERT_TTL": "-1h",
    }
    options = serve(*BARE, env=env)
    assert (options.push.debounce_after, options.push.debounce_max) == (0.1, 10)
    assert [note.partition("=")[0] for note in options.notes] == [
        "MAX_WORKLOAD_CERT_TTL",
        "PILOT_DEBOUNCE_AFTER",
        "PILOT_DEBOUNCE_MAX",
        "PILOT_MAX_REQUESTS_PER_SECOND",
    ]
    with pytest.raises(BadSettings, match="PILOT_DEBOUNCE_AFTER"):
        serve(*BARE, env={**env, "PILOT_STRICT_SETTINGS": "true"})


@pytest.mark.parametrize("text", ["[]", "{}", '{"issuer": 1}', '{"issuer": "x", "audiences": "y"}'])
def test_bad_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"issuer|audiences"):
        jwt_rule(text)


def test_log_as_json_with_and_without_value() -> None:
    assert serve(*BARE, "--log_as_json").log.as_json
    assert serve(*BARE, "--log_as_json=true").log.as_json
    assert not serve(*BARE, "--log_as_json=false").log.as_json


def test_token() -> None:
    options = token("--namespace", "demo", "--service-account", "client", "--ttl", "1h")
    assert (options.namespace, options.service_account, options.ttl) == ("demo", "client", 3600)


def test_token_faults_together() -> None:
    with pytest.raises(BadSettings) as caught:
        token("--namespace", "a/b", "--service-account", "", "--ttl", "0s")
    assert [fault.name for fault in caught.value.faults] == [
        *["--ttl", "--namespace", "--service-account"]
    ]


def test_usage_fault_is_one_of_ours() -> None:
    with pytest.raises(BadSetting, match="--namespace"):
        parser().parse_args(["token"])


def test_istiods_profiling_switch_is_no_envoy() -> None:
    for flag in ("--profile=true", "--profile"):
        options = serve(*BARE, flag)
        assert options.profile is Profile.STOCK
        assert any("no profiling pages" in note for note in options.notes)
    assert serve(*BARE, "--profile=istio").profile is Profile.ISTIO
