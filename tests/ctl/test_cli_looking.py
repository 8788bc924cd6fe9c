# SPDX-License-Identifier: Apache-2.0
"""The commands that ask an agent, from the words to the print."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import mesh.log
from ctl import cli
from tests.support.admin import admin


async def test_each_command(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = mesh.log.levels()
    output = short_tmp / "bundle.tar.gz"
    async with admin(short_tmp) as given:

        async def said(*words: str) -> str:
            given_words = [*words, "--socket", given.socket]
            assert await asyncio.to_thread(cli.main, given_words) == 0
            return capsys.readouterr().out

        assert "ready:         yes" in await said("status")
        assert "POD_NAME" in await said("config", "effective")
        assert "canary" not in await said("config", "effective", "--set")
        assert "CDS" in await said("nacks")
        assert "SCOPE" in await said("logs", "level")
        assert json.loads(await said("status", "--json"))["state"] == "RUNNING"
        assert json.loads(await said("nacks", "--json"))["nacks"][0]["type"] == "CDS"
        (row, masked) = json.loads(await said("config", "effective", "--json"))["settings"]
        assert (row["name"], masked["value"]) == ("POD_NAME", "(masked)")
        given.facts.rows.append({"name": "ECC_CURVE", "value": "P256", "source": "default"})
        told = json.loads(await said("config", "effective", "--set", "--json"))["settings"]
        assert "ECC_CURVE" not in [each["name"] for each in told]
        assert "levels" in json.loads(await said("logs", "level", "--json"))
        token = ("--token-file", str(given.token_file))
        try:
            assert "debug" in await said("logs", "level", "sds:debug", *token)
        finally:
            mesh.log.configure(levels=before)
        assert "status.json" in await said("support-bundle", "--output", str(output))
    assert output.exists()


def test_nobody_there_is_one_line_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status", "--socket", str(tmp_path / "none")]) == 255
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("Error: no answer from")
    assert "PILOT_ADMIN_ADDR" in told[1]
