# SPDX-License-Identifier: Apache-2.0
"""The table of streams, and how in step each is."""

from __future__ import annotations

import pytest

from tests.upstream.rig import node
from upstream.connections import Connection, Connections, Sync, Variant, sync_state
from upstream.proxy import Proxy
from upstream.queue import Reason, request
from upstream.watch import CDS, Watch


def connection(table: Connections) -> Connection:
    proxy = Proxy.parse(node())
    return Connection(
        id=table.new_id(proxy.id),
        proxy=proxy,
        variant=Variant.DELTA,
        peer="127.0.0.1:1",
        identity="",
        since=0.0,
    )


def test_everyone_is_woken() -> None:
    table = Connections()
    one, two, gone = (connection(table) for _ in range(3))
    assert [one.id, two.id] == ["client.demo-1", "client.demo-2"]
    for each in (one, two, gone):
        table.add(each)
    table.remove(gone)
    table.push(request(None, Reason.CONFIG, now=0.0))
    assert [each.wake.is_set() for each in (one, two, gone)] == [True, True, False]
    assert [bool(each.slot) for each in (one, two, gone)] == [True, True, False]
    assert (len(table), list(table)) == (2, [one, two])


@pytest.mark.parametrize(
    ("sent", "acked", "error", "state"),
    [
        ("", "", "", Sync.NOT_SENT),
        ("1", "", "", Sync.STALE),
        ("1", "1", "", Sync.SYNCED),
        ("2", "1", "bad", Sync.ERROR),
    ],
)
def test_sync_state(sent: str, acked: str, error: str, state: Sync) -> None:
    watch = Watch(type_url=CDS, nonce_sent=sent, nonce_acked=acked, last_error=error)
    assert sync_state(watch) is state
