# SPDX-License-Identifier: Apache-2.0
"""Who meets whom, and over what: the parameters of the tests here."""

from __future__ import annotations

import pytest

from tests.wire.witness.ends import Transport
from tests.wire.witness.grpcgo_ends import grpcgo_client, grpcgo_server
from tests.wire.witness.grpcio_ends import grpcio_client, grpcio_server
from tests.wire.witness.ours import our_client, our_server

WITNESS_CLIENTS = [
    pytest.param(grpcio_client, id="grpcio"),
    pytest.param(grpcgo_client, id="grpcgo", marks=pytest.mark.go),
]
WITNESS_SERVERS = [
    pytest.param(grpcio_server, id="grpcio"),
    pytest.param(grpcgo_server, id="grpcgo", marks=pytest.mark.go),
]
PAIRS = [
    pytest.param(grpcio_client, our_server, id="grpcio > ours"),
    pytest.param(our_client, grpcio_server, id="ours > grpcio"),
    pytest.param(grpcgo_client, our_server, id="grpcgo > ours", marks=pytest.mark.go),
    pytest.param(our_client, grpcgo_server, id="ours > grpcgo", marks=pytest.mark.go),
]
MEETINGS = [
    pytest.param(Transport.UNIX, False, id="unix"),
    pytest.param(Transport.TCP, False, id="tcp"),
    pytest.param(Transport.TLS12, False, id="tls1.2"),
    pytest.param(Transport.TLS12, True, id="tls1.2 with a certificate"),
    pytest.param(Transport.TLS13, False, id="tls1.3"),
    pytest.param(Transport.TLS13, True, id="tls1.3 with a certificate"),
]
