# SPDX-License-Identifier: Apache-2.0
"""YAML nodes to frozen dataclasses, by their type hints; every fault with its line and field. Pure.

A specification class is a frozen dataclass whose fields are the YAML's in snake case (``metadata={"yaml": ...}``
where that rule does not give the name); protobuf's own spelling in snake case is taken too. A field that no class
has gives a warning, as istiod goes on without it: ``UNSERVED`` names those that Istio has and we do not act on, any
other may be a typo that loses a rule.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from mesh import durations
from upstream.config.objects import Fault, Severity

NULL: Final = "tag:yaml.org,2002:null"
_STRING: Final = "tag:yaml.org,2002:str"
_BOOLEAN: Final = "tag:yaml.org,2002:bool"
_TRUE: Final = frozenset({"true", "yes", "on"})


class Missing:
    """What could not be read; its fault is already noted."""


MISSING: Final = Missing()


class Decoder:
    """Collects the faults of one object while its parts are read."""

    def __init__(self, source: str, name: str) -> None:
        self.faults: list[Fault] = []
        self._source = source
        self._object = name

    def fault(
        self,
        node: Node,
        path: str,
        reason: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Missing:
        """Note a fault at ``node``."""
        self.faults.append(
            Fault(
                source=self._source,
                line=node.start_mark.line + 1,
                object=self._object,
                field=path,
                reason=reason,
                hint=hint,
                severity=severity,
            )
        )
        return MISSING

    def decode(self, hint: Any, node: Node, path: str) -> Any:
        """The value of ``node`` as ``hint`` wants it, or MISSING."""
        origin = get_origin(hint)
        if origin in (Union, types.UnionType):
            inner = next(arg for arg in get_args(hint) if arg is not types.NoneType)
            return self.decode(inner, node, path)
        if origin is tuple:
            return self._sequence(get_args(hint)[0], node, path)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(get_args(hint)[1], node, path)
        if dataclasses.is_dataclass(hint):
            return self.record(hint, node, path)
        return self._scalar(hint, node, path)

    def record(self, cls: Any, node: Node, path: str) -> Any:
        """An instance of the dataclass ``cls``; fields with faults keep their default."""
        if not isinstance(node, MappingNode):
            return self.fault(node, path, "must be a mapping", "give its fields as key: value")
        known = _fields(cls)
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _camel(str(key_node.value))
            where = f"{path}.{key}" if path else key
            if key not in known:
                self._unknown(cls, key_node, where, key)
                continue
            name, hint = known[key]
            if value_node.tag == NULL:
                continue
            value = self.decode(hint, value_node, where)
            if not isinstance(value, Missing):
                values[name] = value
        return cls(**values)

    def _unknown(self, cls: Any, node: Node, path: str, key: str) -> None:
        if key in getattr(cls, "UNSERVED", ()):
            self.fault(node, path, "is not acted on yet", severity=Severity.WARNING)
            return
        near = difflib.get_close_matches(key, [*_fields(cls), *getattr(cls, "UNSERVED", ())], 1)
        names = ", ".join(sorted(_fields(cls)))
        hint = f"did you mean {near[0]!r}?" if near else f"one of {names}"
        self.fault(node, path, "unknown field, it has no effect", hint, Severity.WARNING)

    def _sequence(self, hint: Any, node: Node, path: str) -> tuple[Any, ...] | Missing:
        if not isinstance(node, SequenceNode):
            return self.fault(node, path, "must be a list", "start each entry with '- '")
        items = [self.decode(hint, item, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return tuple(item for item in items if not isinstance(item, Missing))

    def _mapping(self, hint: Any, node: Node, path: str) -> dict[str, Any] | Missing:
        if not isinstance(node, MappingNode):
            return self.fault(node, path, "must be a mapping", "give it as key: value")
        found = {}
        for key_node, value_node in node.value:
            value = self.decode(hint, value_node, f"{path}[{key_node.value}]")
            if not isinstance(value, Missing):
                found[str(key_node.value)] = value
        return found

    def _scalar(self, hint: Any, node: Node, path: str) -> Any:
        if not isinstance(node, ScalarNode):
            return self.fault(node, path, f"must be {_WORDS.get(hint, 'a single value')}")
        text = str(node.value)
        try:
            if hint is bool:
                return _boolean(node)
            if hint is str:
                return _string(node)
            if hint is timedelta:
                return timedelta(seconds=durations.parse(text))
            if issubclass(hint, StrEnum):
                return hint(text)
            return hint(text)
        except ValueError as exc:
            reason = f"{text!r} is not {_WORDS.get(hint, 'known')}"
            if hint is timedelta:
                reason = str(exc)
            allowed = ", ".join(hint) if issubclass(hint, StrEnum) else ""
            return self.fault(node, path, reason, f"one of {allowed}" if allowed else "")


_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "a string (quote it)",
    int: "a whole number",
    float: "a number",
    timedelta: "a duration such as 5s",
}


def _boolean(node: ScalarNode) -> bool:
    if node.tag != _BOOLEAN:
        raise ValueError
    return str(node.value).lower() in _TRUE


def _string(node: ScalarNode) -> str:
    """Protobuf JSON takes no number for a string; neither do we, or ``1.10`` would be ``1.1`` elsewhere."""
    if node.tag != _STRING and not _stringlike(node):
        raise ValueError
    return str(node.value)


def _stringlike(node: ScalarNode) -> bool:
    """Dates and merge signs are strings to YAML 1.2 readers."""
    return node.tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


@cache
def _fields(cls: Any) -> dict[str, tuple[str, Any]]:
    """YAML name to attribute name and type hint."""
    hints = get_type_hints(cls)
    return {
        one.metadata.get("yaml") or _camel(one.name): (one.name, hints[one.name])
        for one in dataclasses.fields(cls)
    }


def _camel(name: str) -> str:
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)
