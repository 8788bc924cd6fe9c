# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest

from mesh import log
from mesh.errors import BadSetting
from mesh.log import Level


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure(stream=stream)
    yield stream
    log.configure()


def test_text_form(out: io.StringIO) -> None:
    log.get().info("started", port=15020)
    log.get("xdsproxy").warning("upstream lost", why="line\nbreak")
    first, second = out.getvalue().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\tstarted\tport=15020", first)
    assert second.split("\t")[1:] == ["warn", "xdsproxy", "upstream lost", "why=line\\nbreak"]


def test_json_form(out: io.StringIO) -> None:
    log.configure(as_json=True, stream=out)
    log.get("sds", name="default").error("no certificate", tries=3)
    record = json.loads(out.getvalue())
    assert {key: record[key] for key in ("level", "scope", "msg", "name", "tries")} == {
        "level": "error",
        "scope": "sds",
        "msg": "no certificate",
        "name": "default",
        "tries": 3,
    }


def test_levels_by_scope(out: io.StringIO) -> None:
    log.configure(levels=log.parse_levels("warn,dns:debug"), stream=out)
    log.get().info("hidden")
    log.get("dns").debug("shown")
    log.set_levels({"all": Level.NONE})
    log.get("dns").fatal("hidden too")
    assert [line.split("\t")[3] for line in out.getvalue().splitlines()] == ["shown"]


def test_a_malformed_level_names_itself() -> None:
    with pytest.raises(BadSetting, match="loud"):
        log.parse_levels("default:info,dns:loud")
