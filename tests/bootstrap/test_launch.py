# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bootstrap.inputs import BootstrapInputs, bootstrap_inputs
from bootstrap.launch import write_bootstrap
from mesh.errors import BootstrapFailed
from mesh.node import NodeOptions, assemble, node_id
from mesh.proxyconfig import merge
from tests.support.bootstrap import inputs_for, parsed, validate


def later(seconds: float = 60) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_the_file_is_there_and_the_child_is_gone(tmp_path: Path) -> None:
    inputs = inputs_for(output=str(tmp_path / "etc" / "envoy-rev.json"))
    assert await write_bootstrap(inputs, deadline=later()) == inputs.output
    path = Path(inputs.output)
    assert parsed(path.read_text()).node.id == inputs.node_id
    assert os.listdir(path.parent) == ["envoy-rev.json"]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert psutil.Process().children() == []


@pytest.mark.envoy
async def test_envoy_accepts_the_default_file(tmp_path: Path) -> None:
    inputs = inputs_for(output=str(tmp_path / "envoy-rev.json"))
    await write_bootstrap(inputs, deadline=later())
    validate(Path(inputs.output).read_text(), tmp_path)


@pytest.mark.envoy
async def test_from_the_environment_to_envoy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing set but a pod's own variables, in a working directory like a container's."""
    monkeypatch.chdir(tmp_path)
    config = merge(environment="proxyAdminPort: 15500\nstatusPort: 15520\n")
    addresses = ["127.0.0.11"]
    node = assemble(
        id=node_id("sidecar", addresses, "reviews-v1.shop", "shop.svc.cluster.local"),
        env={
            "POD_NAME": "reviews-v1",
            "POD_NAMESPACE": "shop",
            "SERVICE_ACCOUNT": "reviews",
            "ISTIO_META_INTERCEPTION_MODE": "NONE",
            "ISTIO_META_CLUSTER_ID": "Kubernetes",
            "ISTIO_METAJSON_LABELS": '{"app": "reviews", "version": "v1"}',
        },
        config=config,
        options=NodeOptions(version="1.0", instance_ips=addresses, skip_deprecated_logs=True),
    )
    inputs = bootstrap_inputs(node=node, config=config, instance_ips=addresses)
    assert await write_bootstrap(inputs, deadline=later()) == "./etc/istio/proxy/envoy-rev.json"
    text = Path("etc/istio/proxy/envoy-rev.json").read_text()
    assert parsed(text).node.cluster == "reviews.shop"
    validate(text, tmp_path)


async def test_a_refusal_comes_back_with_its_field(tmp_path: Path) -> None:
    output = tmp_path / "envoy-rev.json"
    output.write_text("the last good one")
    inputs = inputs_for(output=str(output), proxy_config={"statsdUdpAddress": "no port"})
    with pytest.raises(
        BootstrapFailed, match="statsdUdpAddress: 'no port': not host:port"
    ) as caught:
        await write_bootstrap(inputs, deadline=later())
    assert caught.value.field == "statsdUdpAddress"
    assert output.read_text() == "the last good one"


async def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inputs = inputs_for(output=str(tmp_path / "file" / "envoy-rev.json"))
    with pytest.raises(BootstrapFailed, match=r"cannot write .*file"):
        await write_bootstrap(inputs, deadline=later())


async def test_the_child_does_not_outlive_the_deadline(tmp_path: Path) -> None:
    inputs = inputs_for(output=str(tmp_path / "envoy-rev.json"))
    with pytest.raises(BootstrapFailed, match="in time"):
        await write_bootstrap(inputs, deadline=later(0.05))
    assert psutil.Process().children() == []
    assert not Path(inputs.output).exists()


async def test_the_child_does_not_outlive_a_cancellation(tmp_path: Path) -> None:
    inputs = inputs_for(output=str(tmp_path / "envoy-rev.json"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await write_bootstrap(inputs, deadline=later())
    assert psutil.Process().children() == []


async def test_a_crashing_child_leaves_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BootstrapFailed, match="exited with 1"):
        await write_bootstrap(inputs_for(), deadline=later())
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(BootstrapFailed, match="cannot start"):
        await write_bootstrap(inputs_for(), deadline=later())


async def test_what_was_tolerated_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = inputs_for(
        output=str(tmp_path / "envoy-rev.json"),
        annotations={"sidecar.istio.io/statsHistogramBuckets": "nonsense"},
    )
    await write_bootstrap(inputs, deadline=later())
    assert "statsHistogramBuckets" in capsys.readouterr().out


async def test_the_working_directory_is_not_on_the_childs_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "bootstrap" / "__main__.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    inputs = inputs_for(output=str(tmp_path / "out" / "envoy-rev.json"))
    await write_bootstrap(inputs, deadline=later())
    assert json.loads(Path(inputs.output).read_text())["node"]["id"] == inputs.node_id


async def test_garbage_on_stdin_is_refused() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "bootstrap", stdin=-1, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(b'{"node_id": 1')
    assert process.returncode == 1
    assert json.loads(out)["error"]["field"] == "stdin"
    assert err.startswith(b"bootstrap failed: stdin")


def test_the_agents_half_knows_no_envoy_messages() -> None:
    assert BootstrapInputs.__module__ == "bootstrap.inputs"
    code = (
        "import sys, bootstrap.launch, bootstrap.inputs\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in "
        "{'envoy_data_plane', 'betterproto2', 'pydantic', 'yaml'}]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
