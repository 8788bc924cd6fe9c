# SPDX-License-Identifier: Apache-2.0
"""Who the client is, between ours and the witnesses: our server lets a client come without a certificate.

``ssl.CERT_OPTIONAL``: "the client may either ignore the request or send a certificate"; one that is sent is verified.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mesh.errors import UpstreamUnavailable
from tests.support.testca import CA
from tests.wire.witness.ends import CLIENT_ID, Clients, Servers, Transport, Wire, wire
from tests.wire.witness.grpcio_ends import grpcio_server
from tests.wire.witness.ours import our_client, our_server
from tests.wire.witness.pairs import WITNESS_CLIENTS, WITNESS_SERVERS
from tests.wire.witness.scenarios import unary
from wire.h2io import Code

pytestmark = pytest.mark.parametrize("transport", [Transport.TLS12, Transport.TLS13])


def stranger(meeting: Wire) -> Wire:
    """The client's certificate says the same, and nobody here vouches for it."""
    return replace(meeting, client=CA("stranger").issue(CLIENT_ID))


async def identity(client: Clients, server: Servers, meeting: Wire) -> str:
    """Of the client, as the server sees it."""
    async with server(meeting) as running, client(meeting, running.target) as connected:
        [outcome] = await connected.play([unary()])
        assert outcome.code is Code.OK
        return (await running.seen(0)).peer


@pytest.mark.parametrize("client", WITNESS_CLIENTS)
async def test_our_server_sees_who_shows_a_certificate_and_takes_who_shows_none(
    client: Clients, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=True)
    assert await identity(client, our_server, meeting) == CLIENT_ID
    (short_tmp / "nobody").mkdir()
    nobody = replace(meeting, client=None, directory=short_tmp / "nobody")
    assert await identity(client, our_server, nobody) == ""


@pytest.mark.parametrize("client", WITNESS_CLIENTS)
async def test_our_server_refuses_a_certificate_of_a_stranger(
    client: Clients, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=True)
    async with our_server(meeting) as running:
        async with client(stranger(meeting), running.target) as connected:
            [outcome] = await connected.play([unary()])
        assert outcome.code is Code.UNAVAILABLE
        async with our_client(meeting, running.target) as known:  # it goes on serving
            [outcome] = await known.play([unary()])
        assert outcome.code is Code.OK


@pytest.mark.parametrize("client", WITNESS_CLIENTS)
async def test_a_client_that_does_not_trust_our_server_goes_away(
    client: Clients, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=False)
    assert meeting.server is not None
    wary = replace(meeting, server=replace(meeting.server, root=CA("other").certificate))
    async with our_server(meeting) as running, client(wary, running.target) as connected:
        [outcome] = await connected.play([unary()])
    assert outcome.code is Code.UNAVAILABLE


@pytest.mark.parametrize("server", WITNESS_SERVERS)
async def test_our_client_shows_its_certificate(
    server: Servers, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=True)
    assert await identity(our_client, server, meeting) == CLIENT_ID


@pytest.mark.parametrize("server", WITNESS_SERVERS)
async def test_our_client_is_told_that_it_is_a_stranger(
    server: Servers, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=True)
    # grpcio's server closes without the alert that tells why (RFC 8446 section 6.2 has a SHOULD there)
    told = "TLS: |closed by the peer" if server is grpcio_server else "TLS: "
    async with server(meeting) as running:
        for somebody in (stranger(meeting), replace(meeting, client=None)):
            with pytest.raises(UpstreamUnavailable, match=told):
                async with our_client(somebody, running.target):
                    pass


@pytest.mark.parametrize("server", WITNESS_SERVERS)
async def test_our_client_does_not_take_a_server_of_strangers(
    server: Servers, transport: Transport, short_tmp: Path
) -> None:
    meeting = wire(transport, short_tmp, certificate=False)
    assert meeting.server is not None
    wary = replace(meeting, server=replace(meeting.server, root=CA("other").certificate))
    async with server(meeting) as running:
        with pytest.raises(UpstreamUnavailable, match=r"TLS: .*certificate"):
            async with our_client(wary, running.target):
                pass
