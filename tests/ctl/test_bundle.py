# SPDX-License-Identifier: Apache-2.0
"""What may be sent to somebody: everything that the agent tells, and no secret of it."""

from __future__ import annotations

import asyncio
import json
import stat
import tarfile
from pathlib import Path

import pytest

from ctl import bundle
from ctl.agent import AgentApi, AgentSilent
from mesh.errors import BadSetting
from tests.support.admin import Admin, admin
from tests.support.testca import CA

CANARY = "canary-that-nobody-may-see"
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJ{CANARY.replace('-', '')}.c2ln"


def poisoned(given: Admin) -> list[str]:
    """Secrets in every place where one could be told; gives what must not be found."""
    key = CA().issue("spiffe://a/ns/b/sa/c").key.decode()
    status = given.facts.status
    status["secrets"] |= {"last_error": f"refused: {key}", "private_key": CANARY}
    status["xds"]["types"]["CDS"] |= {"lastError": f"bearer {CANARY}", "inline_string": CANARY}
    status["envoy"]["why"] = f"cannot use {TOKEN}"
    given.facts.rows += [
        {"name": "XDS_HEADER_B", "value": CANARY, "source": "environment"},
        {"name": "PROXY_CONFIG", "value": f"password: https://u:{CANARY}@h/", "source": "x"},
    ]
    return [CANARY, CANARY.replace("-", ""), *key.split("\n")[1:-2]]


async def made(given: Admin, path: Path) -> dict[str, str]:
    await asyncio.to_thread(bundle.write, AgentApi(unix=given.socket), str(path), 1_000.0)
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive.getmembers():
            assert entry.mode == 0o600
            file = archive.extractfile(entry)
            assert file is not None
            found[entry.name.removeprefix(f"{bundle.NAME}/")] = file.read().decode()
    return found


async def test_everything_is_in_it_and_only_its_owner_may_read_it(short_tmp: Path) -> None:
    path = short_tmp / "b.tar.gz"
    async with admin(short_tmp) as given:
        found = await made(given, path)
        assert set(found) == {
            "status.json", "settings.json", "nacks.json", "pushes.json", "capture.json",
            "logs-levels.json", "metrics.txt",
        }  # fmt: skip
        assert json.loads(found["status.json"])["state"] == "RUNNING"
        assert "POD_NAME" in found["settings.json"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(BadSetting, match="--output"):
            await made(given, path)


async def test_no_canary_leaves(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        secrets = poisoned(given)
        found = "".join((await made(given, short_tmp / "b.tar.gz")).values())
    assert [secret for secret in secrets if secret in found] == []
    assert "(masked)" in found


async def test_an_agent_that_tells_too_much_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages as an older agent might give them, unmasked."""
    unmasked = {"token": CANARY, "note": f"Bearer {CANARY}"}
    pages = {"metrics": f"# HELP x Bearer {CANARY}\nx 1\n"}
    told = json.dumps(unmasked)
    monkeypatch.setattr(AgentApi, "text", lambda self, page: pages.get(page, told))
    found = "".join(text for _, text in bundle.collected(AgentApi()))
    assert CANARY not in found


def test_a_page_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(self: AgentApi, page: str) -> str:
        if page == "capture":
            raise AgentSilent("no such page")
        return "{}"

    monkeypatch.setattr(AgentApi, "text", text)
    found = dict(bundle.collected(AgentApi()))
    assert found["missing.txt"] == "capture: no such page\n"
    assert "status.json" in found


def test_nobody_there_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with pytest.raises(AgentSilent):
        bundle.write(AgentApi(unix=str(tmp_path / "none")), str(path), 0.0)
    assert not path.exists()
