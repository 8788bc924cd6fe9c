# SPDX-License-Identifier: Apache-2.0
"""A directory under an operator's hands: good edits, bad ones, files that come and go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from upstream.config import Fault, Kind, Object
from upstream.config.objects import Severity
from upstream.sources.files import Directory, Look


def parse(text: str, source: str) -> tuple[Sequence[Object[Any]], Sequence[Fault]]:
    """A line is an object; a line with ``bad`` is a fault, one with ``odd`` a warning."""
    objects, faults = [], []
    for number, line in enumerate(text.split(), 1):
        if "bad" in line or "odd" in line:
            severity = Severity.ERROR if "bad" in line else Severity.WARNING
            faults.append(
                Fault(
                    source=source,
                    line=number,
                    object=line,
                    field="f",
                    reason="r",
                    severity=severity,
                )
            )
        if "bad" not in line:
            objects.append(Object(kind=Kind.SIDECAR, namespace="n", name=line, spec=line))
    return objects, faults


class Yaml:
    """The directory and its look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory = Directory(str(path), parse)

    def put(self, name: str, text: str) -> None:
        """As editors do: written aside, renamed."""
        aside = self.path / f".{name}.new"
        aside.write_text(text)
        aside.replace(self.path / name)

    def look(self) -> Look:
        return self.directory.look()

    def held(self) -> str:
        """Names of all objects."""
        groups = self.directory.objects()
        return " ".join(one.name for name in sorted(groups) for one in groups[name])


@pytest.fixture
def yaml(tmp_path: Path) -> Yaml:
    return Yaml(tmp_path)


def test_files_come_change_and_go(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one two")
    yaml.put("b.yml", "three")
    (yaml.path / "deep").mkdir()
    (yaml.path / "deep" / "c.yaml").write_text("four")
    (yaml.path / "notes.txt").write_text("five")
    assert yaml.look().changed
    assert yaml.held() == "one two three four"
    assert not yaml.look().changed
    yaml.put("a.yaml", "two")
    (yaml.path / "b.yml").unlink()
    assert yaml.look().changed
    assert yaml.held() == "two four"


def test_bad_edit_keeps_the_last_good_version_and_is_said_once(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one two")
    yaml.look()
    yaml.put("a.yaml", "one bad")
    look = yaml.look()
    assert not look.changed
    (fault,) = look.faults
    assert str(fault) == f"{yaml.path}/a.yaml:2: bad f: r"
    assert yaml.held() == "one two"
    assert yaml.look().faults == ()
    assert len(yaml.directory.faults()) == 1
    yaml.put("a.yaml", "one three")
    look = yaml.look()
    assert (look.changed, look.healed) == (True, (f"{yaml.path}/a.yaml",))
    assert yaml.held() == "one three"


def test_file_that_was_never_good_gives_what_is_good_in_it(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one bad")
    assert yaml.look().changed
    assert yaml.held() == "one"
    yaml.put("a.yaml", "two bad")
    yaml.look()
    assert yaml.held() == "two"


def test_warning_does_not_hold_a_file_back(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one")
    yaml.look()
    yaml.put("a.yaml", "odd")
    look = yaml.look()
    assert look.changed
    assert len(look.faults) == 1
    assert yaml.held() == "odd"


def test_file_written_in_place_is_read_when_it_has_settled(yaml: Yaml) -> None:
    file = yaml.path / "a.yaml"
    file.write_text("one two")
    yaml.look()
    with file.open("w") as writing:
        look = yaml.look()
        assert (look.changed, look.unsettled) == (False, True)
        writing.write("one")
        writing.flush()
        look = yaml.look()
        assert (look.changed, look.unsettled) == (False, True)
        assert yaml.held() == "one two"
    look = yaml.look()
    assert (look.changed, look.unsettled) == (True, False)
    assert yaml.held() == "one"


def test_emptied_file_is_empty(yaml: Yaml) -> None:
    file = yaml.path / "a.yaml"
    file.write_text("one")
    yaml.look()
    file.write_text("")
    yaml.look()
    assert yaml.held() == "one"
    yaml.look()
    assert yaml.held() == ""


def test_touched_file_is_unchanged(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one")
    yaml.look()
    os.utime(yaml.path / "a.yaml", ns=(1, 1))
    assert yaml.look().unsettled
    assert not yaml.look().changed


def test_directory_that_vanishes_takes_nothing_with_it(tmp_path: Path) -> None:
    yaml = Yaml(tmp_path / "config")
    yaml.path.mkdir()
    yaml.put("a.yaml", "one")
    yaml.look()
    yaml.path.rename(tmp_path / "elsewhere")
    look = yaml.look()
    assert not look.changed
    assert "cannot be read" in look.faults[0].reason
    assert yaml.look().faults == ()
    assert yaml.held() == "one"


def test_unreadable_file_keeps_its_objects(yaml: Yaml) -> None:
    yaml.put("a.yaml", "one")
    yaml.look()
    (yaml.path / ".x").write_bytes(b"\xff\xfe")
    (yaml.path / ".x").replace(yaml.path / "a.yaml")
    look = yaml.look()
    assert "utf-8" in look.faults[0].reason
    assert yaml.held() == "one"


def test_links_as_in_a_mounted_config_map(yaml: Yaml) -> None:
    for version in ("1", "2"):
        (yaml.path / f"..{version}").mkdir()
        (yaml.path / f"..{version}" / "a.yaml").write_text(f"v{version}")
    (yaml.path / "..data").symlink_to("..1")
    (yaml.path / "a.yaml").symlink_to("..data/a.yaml")
    yaml.look()
    assert yaml.held() == "v1"
    (yaml.path / "..new").symlink_to("..2")
    (yaml.path / "..new").replace(yaml.path / "..data")
    assert yaml.look().changed
    assert yaml.held() == "v2"


def test_the_same_object_in_two_files_is_said_once(tmp_path: Path) -> None:
    yaml = Yaml(tmp_path)
    yaml.put("a.yaml", "one")
    yaml.put("b.yaml", "one two")
    (fault,) = yaml.look().faults
    assert (fault.source, fault.object, fault.fatal) == (
        str(tmp_path / "b.yaml"),
        "Sidecar/n/one",
        False,
    )
    assert f"{tmp_path / 'a.yaml'}:0 defines the same object" in fault.reason
    assert yaml.look().faults == ()
    assert yaml.directory.faults() == [fault]
    yaml.put("b.yaml", "two")
    yaml.look()
    assert yaml.directory.faults() == []
