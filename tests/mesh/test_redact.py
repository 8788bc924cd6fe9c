# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from mesh import redact

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("DB_PASSWORD", True),
        ("GITHUB_TOKEN", True),
        ("clientSecret", True),
        ("XDS_HEADER_AUTHORIZATION", True),
        ("XDS_HEADER_X", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("apiKey", True),
        ("TOKEN_FILE", False),
        ("tokenPath", False),
        ("CREDENTIAL_FETCHER_TYPE", False),
        ("SECRET_TTL", False),
        ("WORKLOAD_RSA_KEY_SIZE", False),
        ("POD_NAME", False),
        ("KEYRING", False),
    ],
)
def test_names(name: str, *, secret: bool) -> None:
    assert redact.is_secret_name(name) is secret


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"a {PEM} b", "a (masked) b"),
        ("-----BEGIN PRIVATE KEY-----\nbroken off", "(masked)"),
        (f"token {JWT}!", "token (masked)!"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer (masked)"),
        ("basic dXNlcjpwYXNz", "basic (masked)"),
        ("https://user:pa55@host/x", "https://(masked)@host/x"),
        ("https://host:443/x@y", "https://host:443/x@y"),
        ("/x?a=b&api_key=c&d=e", "/x?a=b&api_key=(masked)&d=e"),
        ('"/x?token=c"', '"/x?token=(masked)"'),
        ("/x?monkey", "/x?monkey"),
        ("nothing to hide", "nothing to hide"),
        ("value: 7", "value: 7"),
    ],
)
def test_looks(given: str, shown: str) -> None:
    assert redact.text(given) == shown


def test_documents() -> None:
    given = {
        "env": {"DB_PASSWORD": "canary", "POD_NAME": "web"},
        "rows": [f"key: {PEM}", 7, None],
        "private_key": {"inline_string": "canary", "filename": "/key.pem"},
        "token": "",
    }
    shown = redact.document(given)
    assert "canary" not in json.dumps(shown)
    assert shown["env"] == {"DB_PASSWORD": "(masked)", "POD_NAME": "web"}
    assert shown["rows"] == ["key: (masked)", 7, None]
    assert shown["token"] == ""


HEADERS = [
    '{"httpGet":{"httpHeaders":[{"name":"X-A","value":"canary"},{"value":"a\\"canary","name":"B"}],"port":80}}',
    '{"httpHeaders": [{"name": "X-A", "value": "canary and so on',
    '{"x": "{\\"httpHeaders\\":[{\\"name\\":\\"A\\",\\"value\\":\\"canary, canary\\"}]}"}',
    "httpHeaders: [{name: X-A, value: canary}]",
    "httpHeaders:\n- name: X-A\n  value: canary, canary\n- {value: 'it''s canary', name: B}\n",
    "httpHeaders:\n- name: X-A\n  value: |\n    can\n    canary\n",
    "HTTPHEADERS:\n- Value: canary",
]


@pytest.mark.parametrize("given", HEADERS)
def test_headers_of_probes_in_text_whole_or_broken(given: str) -> None:
    shown = redact.text(given)
    assert "canary" not in shown
    assert redact.MASK in shown


def test_the_rest_of_a_probe_stays() -> None:
    shown = json.loads(redact.text(HEADERS[0]))["httpGet"]
    assert shown["port"] == 80
    assert [header["name"] for header in shown["httpHeaders"]] == ["X-A", "B"]


def test_headers_of_probes_in_documents() -> None:
    probe = {"port": 80, "httpHeaders": [{"name": "X-A", "value": "canary", "more": ["canary"]}]}
    shown = redact.document({"readinessProbe": {"httpGet": probe, "HTTPHeaders": ["canary"]}})
    assert "canary" not in json.dumps(shown)
    assert shown["readinessProbe"]["httpGet"]["httpHeaders"][0]["name"] == "X-A"
    assert shown["readinessProbe"]["httpGet"]["port"] == 80


def test_what_another_says_loses_what_we_told_it() -> None:
    said = "bad token abc.def, header abc"
    assert redact.words(said, "abc", "", "abc.def") == "bad token (masked), header (masked)"
