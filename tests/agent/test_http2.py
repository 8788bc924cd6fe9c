# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ssl

import pytest

from agent import http1
from tests.support.apps import h2_app, tls_of_app


def via() -> http1.Via:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return http1.Via(tls=context)


async def test_an_application_that_speaks_only_http2() -> None:
    async with h2_app(tls_of_app(["h2"]), status="418", body=b"b" * 60_000) as port:
        target = http1.Target("127.0.0.1", port, "/x")
        headers = [("Host", "other"), ("X-A", "1"), ("Connection", "close")]
        reply = await http1.ask(target, timeout=10, headers=headers, via=via())
    assert reply.status == 418
    assert ("x-by", "h2") in reply.headers
    assert len(reply.body) == 60_000


async def test_one_that_agrees_to_nothing_and_closes() -> None:
    async with h2_app(tls_of_app(["foo"])) as port:
        target = http1.Target("127.0.0.1", port, "/x")
        with pytest.raises(http1.RequestFailed):
            await http1.ask(target, timeout=10, via=via())
