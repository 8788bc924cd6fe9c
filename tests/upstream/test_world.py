# SPDX-License-Identifier: Apache-2.0
"""A world is a value: changes make new ones, which object counts is certain, what is derived dies with it."""

from __future__ import annotations

from upstream.config import Key, Kind, MeshConfig, Object
from upstream.world import World


def thing(name: str, spec: str = "s", created: str = "", kind: Kind = Kind.SIDECAR) -> Object[str]:
    return Object(kind=kind, namespace="n", name=name, spec=spec, created=created)


def key(name: str) -> Key:
    return Key(Kind.SIDECAR, "n", name)


def names(world: World, kind: Kind = Kind.SIDECAR) -> list[str]:
    return [one.name for one in world.objects(kind)]


def test_by_kind_and_in_istios_order() -> None:
    old = thing("z", created="2020")
    where = World({"f": [old, thing("b"), thing("x", kind=Kind.SERVICE_ENTRY), thing("a")]})
    assert names(where) == ["a", "b", "z"]
    assert names(where, Kind.SERVICE_ENTRY) == ["x"]


def test_of_two_objects_with_one_key_the_first_file_counts() -> None:
    where = World({"b.yaml": [thing("x", "second")], "a.yaml": [thing("x", "first")]})
    assert [one.spec for one in where.objects(Kind.SIDECAR)] == ["first"]
    assert where.by_key()[key("x")].spec == "first"


def test_a_change_leaves_the_old_world_as_it_was() -> None:
    before = World({"f": [thing("a")], "g": [thing("b")]}, istio_filters=True)
    after = before.replace("f", [thing("c")])
    assert (names(before), names(after)) == (["a", "b"], ["b", "c"])
    assert after.istio_filters
    assert names(after.apply({"g": (), "h": [thing("d")]})) == ["c", "d"]
    assert "g" not in after.apply({"g": ()}).sources


def test_what_differs() -> None:
    before = World({"f": [thing("same"), thing("gone"), thing("edited")]})
    after = World({"g": [thing("same"), thing("edited", "new"), thing("fresh")]})
    assert after.changed_since(before) == {key("gone"), key("edited"), key("fresh")}
    assert after.changed_since(after) == frozenset()


def test_another_mesh_config_keeps_the_objects() -> None:
    before = World({"f": [thing("a")]})
    after = before.with_mesh(MeshConfig(trust_domain="td"))
    assert (after.mesh.trust_domain, names(after)) == ("td", ["a"])
    assert before.mesh.trust_domain == "cluster.local"


def test_a_memo_is_made_once_and_not_inherited() -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return len(calls)

    where = World()
    assert [where.memo("k", make), where.memo("k", make), where.memo("l", make)] == [1, 1, 2]
    assert where.replace("f", [thing("a")]).memo("k", make) == 3
