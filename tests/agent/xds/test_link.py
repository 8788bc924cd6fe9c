# SPDX-License-Identifier: Apache-2.0
"""What is shown to the control plane, and what happens where it cannot be shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.xds.link import Upstream
from agent.xds.options import XdsOptions
from mesh.clock import SystemClock
from mesh.errors import UpstreamUnavailable
from tests.support.grpc_running import serving
from tests.support.testca import CA
from wire import types
from wire.h2io import Code, ServerCall, Status
from wire.h2io.tls import server_context
from wire.scan import Variant


class Guest:
    """A TLS control plane that notes who came."""

    def __init__(self) -> None:
        self.ca = CA()
        self.target = ""
        self.certificates: list[bytes | None] = []
        self.tokens: list[str] = []

    async def serve(self, call: ServerCall) -> None:
        self.certificates.append(call.peer.certificate)
        self.tokens.append(dict(call.metadata).get("authorization", ""))
        await call.send(await call.receive() or b"")


@pytest.fixture
async def guest() -> AsyncIterator[Guest]:
    one = Guest()
    leaf = one.ca.issue("127.0.0.1")
    context = server_context(chain=leaf.chain, key=leaf.key, client_roots=one.ca.certificate)
    async with serving({types.STREAM_AGGREGATED: one.serve}, tls=context) as running:
        one.target = running.target
        yield one


def options(guest: Guest, folder: Path) -> XdsOptions:
    (folder / "root.pem").write_bytes(guest.ca.certificate)
    return XdsOptions(upstream=guest.target, roots=str(folder / "root.pem"))


async def visit(settings: XdsOptions) -> bool:
    return await Upstream(settings, SystemClock()).answers(Variant.SOTW, b"hello", timeout=10)


async def test_certificate_is_shown_while_it_is_valid(guest: Guest, tmp_path: Path) -> None:
    settings = replace(
        options(guest, tmp_path),
        certificate=str(tmp_path / "cert-chain.pem"),
        key=str(tmp_path / "key.pem"),
    )
    guest.ca.issue("spiffe://td/ns/a/sa/b").write(tmp_path)
    assert await visit(settings)
    guest.ca.issue("spiffe://td/ns/a/sa/b", lifetime=-10.0).write(tmp_path)
    assert await visit(settings)
    (tmp_path / "cert-chain.pem").unlink()
    assert await visit(settings)
    assert [bool(certificate) for certificate in guest.certificates] == [True, False, False]


async def test_token_comes_from_the_file_and_an_empty_one_is_left_out(
    guest: Guest, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    settings = replace(options(guest, tmp_path), token=str(token))
    token.write_text("abc\n")
    assert await visit(settings)
    token.write_text("\n")
    assert await visit(settings)
    assert guest.tokens == ["Bearer abc", ""]


async def test_a_missing_token_is_named_and_left_out(
    guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(options(guest, tmp_path), token=str(tmp_path / "gone"))
    assert await visit(settings)
    assert guest.tokens == [""]
    assert f"path={tmp_path / 'gone'}" in capsys.readouterr().out


async def test_what_the_control_plane_says_is_quoted_without_our_credentials(
    guest: Guest, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("opaque-canary")
    settings = replace(
        options(guest, tmp_path), token=str(token), headers=(("x-key", "header-canary"),)
    )
    upstream = Upstream(settings, SystemClock())
    connection, _ = await upstream.open(Variant.SOTW)
    await connection.close()
    said = Status(Code.UNAUTHENTICATED, "neither opaque-canary nor header-canary")
    assert upstream.quoted(said) == Status(Code.UNAUTHENTICATED, "neither (masked) nor (masked)")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), (b"no pem", "root certificates")]
)
async def test_bad_roots_are_named(
    guest: Guest, tmp_path: Path, content: bytes | None, why: str
) -> None:
    settings = options(guest, tmp_path)
    if content is None:
        (tmp_path / "root.pem").unlink()
    else:
        (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(UpstreamUnavailable, match=why):
        await Upstream(settings, SystemClock()).open(Variant.SOTW)


async def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    assert not await visit(XdsOptions(upstream="127.0.0.1:1", tls=False))
