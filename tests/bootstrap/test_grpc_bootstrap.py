# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from bootstrap.grpc_bootstrap import author
from bootstrap.inputs import Sockets
from bootstrap.launch import write_bootstrap
from mesh.errors import BootstrapFailed
from tests.support.bootstrap import inputs_for


def test_the_whole_file() -> None:
    text = author(
        inputs_for(
            node_id="sidecar~127.0.0.1~pod1.fake-namespace~fake-namespace.svc.cluster.local",
            metadata={"PILOT_SAN": ["a"], "GENERATOR": "x", "mine": "1", "OWNER": ""},
            region="r",
            sockets=Sockets(xds="./etc/istio/proxy/XDS"),
            grpc_certificates="/cert/path",
        )
    )
    assert text.startswith('{\n  "xds_servers": [\n    {\n')
    assert json.loads(text) == {
        "xds_servers": [
            {
                "server_uri": "unix:///etc/istio/proxy/XDS",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {
            "id": "sidecar~127.0.0.1~pod1.fake-namespace~fake-namespace.svc.cluster.local",
            "metadata": {"PILOT_SAN": ["a"], "GENERATOR": "grpc"},
            "locality": {"region": "r"},
        },
        "certificate_providers": {
            "default": {
                "plugin_name": "file_watcher",
                "config": {
                    "certificate_file": "/cert/path/cert-chain.pem",
                    "private_key_file": "/cert/path/key.pem",
                    "ca_certificate_file": "/cert/path/root-cert.pem",
                    "refresh_interval": "900s",
                },
            }
        },
        "server_listener_resource_name_template": "xds.istio.io/grpc/lds/inbound/%s",
    }


def test_no_certificates_no_provider() -> None:
    assert "certificate_providers" not in json.loads(author(inputs_for()))


async def test_it_is_written_alone_where_no_envoy_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "grpc-bootstrap.json"
    inputs = inputs_for(output="", grpc_output=str(path))
    deadline = asyncio.get_running_loop().time() + 60
    old = os.umask(0o077)
    try:
        assert await write_bootstrap(inputs, deadline=deadline) == ""
    finally:
        os.umask(old)
    assert os.listdir(path.parent) == ["grpc-bootstrap.json"]
    assert path.stat().st_mode & 0o777 == 0o644  # other users' clients read it


async def test_a_place_that_cannot_be_written_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inputs = inputs_for(output="", grpc_output=str(tmp_path / "file" / "x.json"))
    deadline = asyncio.get_running_loop().time() + 60
    with pytest.raises(BootstrapFailed) as caught:
        await write_bootstrap(inputs, deadline=deadline)
    assert caught.value.field == "grpc_output"
