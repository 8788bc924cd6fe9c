# SPDX-License-Identifier: Apache-2.0
"""One process, one TaskGroup. The only module that may start tasks by other means. Answers to DESIGN section 5.

Long-lived parts do not return: a part that returns is a fault (``PartReturned``), because something
that was promised is no longer done. Stopping is not a fault. The first error of ours leaves the
group unwrapped, so an ExceptionGroup never crosses a module border.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, NoReturn

from mesh.errors import MeshError


class PartReturned(MeshError):
    """A part that must run as long as the process ended by itself."""

    hint = "this is a defect: please report it with the log"

    def __init__(self, name: str) -> None:
        super().__init__(f"BUG: part {name!r} returned")
        self.name = name


class _Stopped(Exception):
    """Raised inside the group to end it in good order."""


Part = Coroutine[Any, Any, object]


async def run_parts(parts: Mapping[str, Part], *, stop: asyncio.Event) -> None:
    """Run named parts until ``stop`` is set, then cancel them all and return.

    Raises the first error of a part as it is, and ``PartReturned`` when one ends without an error.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(_must_not_return(name, part), name=name)
            group.create_task(_raise_when(stop), name="stop")
    except* _Stopped:
        pass
    except* Exception as group_error:  # noqa: BLE001  re-raised as the first of them
        raise first_error(group_error) from None


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that an operator should see: the first ``MeshError`` in the tree, else the first leaf."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, MeshError)), leaves[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


async def _must_not_return(name: str, part: Part) -> NoReturn:
    await part
    raise PartReturned(name)


async def _raise_when(stop: asyncio.Event) -> NoReturn:
    await stop.wait()  # no deadline: the process lives as long as it lives
    raise _Stopped
