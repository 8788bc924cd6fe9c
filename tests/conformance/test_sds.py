# SPDX-License-Identifier: Apache-2.0
"""Suite ``sds``: names, rotation, bundles, requests, files, streams, and who shows which credential to the CA."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from mesh.clock import SystemClock
from mesh.errors import MeshError, SigningFailed
from mesh.identity import Identity
from sdsserver import build_sds, chain, mint, settle
from sdsserver.manager import SecretManager, Sources
from sdsserver.metrics import Metrics
from sdsserver.minting import Minted
from sdsserver.names import FileName
from sdsserver.options import CaOptions, CertFiles, KeyOptions, Mode, SecretOptions
from sdsserver.pem import valid_roots
from sdsserver.rotation import rotation_delay
from sdsserver.secret import Secret
from sdsserver.service import SdsService
from sdsserver.trust import concat_certs
from sdsserver.x509 import facts, seconds_left
from tests.conformance.runner import Case, cases
from tests.support.fakeca import SERVER_NAME, FakeCa, Seen
from tests.support.sdsclient import EndOfStream, SdsStream, channel, open_stream
from tests.support.testca import CA, Leaf
from wire.proto.secret_pb2 import DataSource
from wire.proto.secret_pb2 import Secret as Message

ME = Identity(trust_domain="cluster.local", namespace="namespace", service_account="sa")


@cases("sds/resource_names")
def test_resource_names(case: Case) -> None:
    expect = case.data["expect"]
    found = FileName.parse(case.data["resource"])
    assert (found is not None) == expect["valid"]
    if found is not None:
        assert {
            "valid": True,
            "certificate": found.chain,
            "private_key": found.key,
            "ca": found.root,
            "is_root": found.is_root,
            "is_key_cert": found.is_pair,
            "resource_name": found.pair_name,
            "root_resource_name": found.root_name,
        } == expect


@cases("sds/rotation_delay")
def test_rotation_delay(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    rng, now = Random(1), 1_700_000_000.0
    for _ in range(data.get("samples", 1)):
        delay = rotation_delay(
            now,
            born=now + data["created_offset_s"],
            dies=now + data["expire_offset_s"],
            grace=data["grace_ratio"],
            jitter=data["jitter"],
            rng=rng,
        )
        tolerance = expect["tolerance_s"]
        assert expect["delay_min_s"] - tolerance <= delay <= expect["delay_max_s"] + tolerance


@cases("sds/root_bundle")
def test_root_bundle(case: Case) -> None:
    expect = case.data["expect"]
    try:
        roots, _ = valid_roots(case.data["pem"].encode())
        found = len(x509.load_pem_x509_certificates(roots))
    except ValueError:
        assert expect["error"]
        found = 0
    assert found == expect["valid_certs"]


@cases("sds/concat_certs")
def test_concat_certs(case: Case) -> None:
    assert concat_certs(case.data["certs"]) == case.data["expect"]["text"]


@cases("sds/cert_time_left")
def test_cert_time_left(case: Case) -> None:
    data, expect = case.data, case.data["expect"]
    now = time.time()
    if "pem" in data["cert"]:
        with pytest.raises(ValueError) as caught:
            seconds_left(data["cert"]["pem"].encode(), now)
        assert str(caught.value) == expect["error_text"]
        return
    leaf = CA().issue(
        "localhost", lifetime=data["cert"]["ttl_s"], begin=data["cert"]["not_before_offset_s"]
    )
    left = seconds_left(leaf.certificate, now + data["now_offset_s"])
    # certificates hold whole seconds: one more than the tolerance at most
    assert abs(left - expect["seconds_left"]) <= expect["tolerance_s"] + 1


@cases("sds/csr")
def test_csr(case: Case) -> None:
    expect, options = case.data["expect"], case.data["options"]
    request = {
        "host": options["host"],
        "organization": options.get("org", ""),
        "dual_use": options.get("dual_use", False),
        "rsa_bits": options.get("rsa_key_size", 2048),
        "ec_algorithm": options.get("ec_sig_alg", ""),
        "curve": options.get("ec_curve", "P256"),
        "pkcs8": options.get("pkcs8_key", False),
    }
    if expect["error"]:
        with pytest.raises(ValueError) as caught:
            _csr_facts(case, request, expect)
        assert expect.get("error_text", "") in str(caught.value)
        return
    found = _csr_facts(case, request, expect)
    wanted = {key: value for key, value in expect.items() if key != "error"}
    assert {key: found[key] for key in wanted} == wanted


def _csr_facts(case: Case, request: dict[str, Any], expect: dict[str, Any]) -> dict[str, Any]:
    """What the case's kind of question finds; keys smaller than we make are asked about without one."""
    match case.data.get("kind", "csr"):
        case "common_name":
            return {"common_name": mint.common_name(request["host"])}
        case "san_extension":
            return {"critical": True, "general_names": _general_names(mint.names(request["host"]))}
    if set(expect) == {"error", "common_name"} and not expect["error"]:
        names = {each.oid: each.value for each in mint.subject(request)}
        return {"common_name": names[NameOID.COMMON_NAME]}
    made = mint.make(request)
    csr = x509.load_pem_x509_csr(made["csr"].encode())
    key = load_pem_private_key(made["key"].encode(), None)
    sans = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert sans.critical
    assert isinstance(key, rsa.RSAPrivateKey) or hasattr(key, "curve")
    return {
        "key_type": "RSA" if isinstance(key, rsa.RSAPrivateKey) else "EC",
        "key_bits": getattr(key, "key_size", 0),
        "private_key_format": "PKCS8" if "BEGIN PRIVATE KEY" in made["key"] else "PKCS1",
        "organization": csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value,
        "san_dns": sans.value.get_values_for_type(x509.DNSName),
        "signature_valid": csr.is_signature_valid,
    }


def _general_names(names: x509.SubjectAlternativeName) -> list[list[str]]:
    kinds = {"UniformResourceIdentifier": "URI", "IPAddress": "IP", "DNSName": "DNS"}
    return [[kinds[type(name).__name__], str(name.value)] for name in names]


@cases("sds/existing_files")
def test_existing_files(case: Case, tmp_path: Path) -> None:
    data, leaf = case.data, CA().issue(str(ME))
    leaf.write(tmp_path)
    root = data["kind"] == "root"
    if not data.get("cert_exists", False):
        (tmp_path / ("root-cert.pem" if root else "cert-chain.pem")).unlink()
    if not data.get("key_exists", False):
        (tmp_path / "key.pem").unlink()
    world = _Manager(tmp_path)
    found = world.manager.files.source("ROOTCA" if root else "default")
    assert (found is not None) == data["expect"]["exists"]


@cases("sds/symlinks")
def test_symlinks(case: Case, tmp_path: Path) -> None:
    data, expect = case.data, case.data["expect"]
    for line in data["tree"]:
        _grow(tmp_path, line)
    path = str(tmp_path / data["path"])
    if "resolve" in case.features:
        if expect.get("error"):
            with pytest.raises(OSError):
                chain.link_target(path)
        else:
            assert chain.link_target(path) == str(tmp_path / expect["target"])
        return
    found = chain.find_link(path)
    assert found == (str(tmp_path / expect["symlink"]) if expect["found"] else "")


def _grow(root: Path, line: str) -> None:
    kind, _, rest = line.partition(" ")
    name, _, target = rest.partition(" -> ")
    path = root / name
    match kind:
        case "dir":
            path.mkdir(parents=True)
        case "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        case "link":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target.replace("$ROOT", str(root)))
        case _:
            raise AssertionError(f"unknown kind of entry: {line}")


class _Manager:
    """A secret manager over files in one directory, and letters that stand for certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = CA()
        self.leaves: dict[str, Leaf] = {}
        self.roots: dict[str, bytes] = {}
        self.told: list[str] = []
        options = SecretOptions(
            identity=ME,
            ca=None,
            well_known=CertFiles.in_dir(str(directory)),
            debounce=0.02,
            file_deadline=0.3,
        )
        self.manager = SecretManager(
            options,
            Sources(self._mint, None),
            SystemClock(),
            metrics=Metrics(),
            rng=Random(1),
        )
        self.manager.listen(self.told.append)

    async def _mint(self) -> Minted:
        raise MeshError("no CA here")

    def leaf(self, letter: str) -> Leaf:
        return self.leaves.setdefault(letter, self.ca.issue(str(ME)))

    def root(self, letter: str) -> bytes:
        return self.roots.setdefault(letter, CA(letter).certificate)

    def content(self, file: str, letter: str) -> bytes:
        match file:
            case "cert":
                return self.leaf(letter).chain
            case "key":
                return self.leaf(letter).key
            case _:
                return self.root(letter)

    def path(self, file: str) -> Path:
        names = {"cert": "cert-chain.pem", "key": "key.pem", "root": "root-cert.pem"}
        return self.directory / names[file]


_STEPS = {"set_config_trust_bundle", "use_existing_files", "generate", "atomic_write", "watch_file"}


def _serves_script(case: Case) -> bool:
    """Raw events have no counterpart here: content decides what is told, not the kind of an event."""
    return {step["do"] for step in case.data["steps"]} <= _STEPS


@cases("sds/secret_scripts", serves=_serves_script)
async def test_secret_scripts(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = _Manager(tmp_path)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.manager.run())
        try:
            for step in case.data["steps"]:
                await _do(world, step)
        finally:
            task.cancel()


async def _do(world: _Manager, step: dict[str, Any]) -> None:
    expect = step.get("expect", {})
    match step["do"]:
        case "set_config_trust_bundle":
            world.manager.set_anchors([world.root(name) for name in step["certs"]])
            world.told.clear()
        case "use_existing_files":
            for file in ("cert", "key", "root"):
                if file in step:
                    world.path(file).write_bytes(world.content(file, step[file]))
        case "atomic_write":
            temporary = world.directory / "temporary"
            temporary.write_bytes(world.content(step["file"], step["content"]))
            temporary.rename(world.path(step["file"]))
        case "watch_file":
            path = Path(step["path"])
            path.parent.mkdir(parents=True)
            path.write_bytes(world.root("watched"))
            await world.manager.secret(f"file-root:{path}")
            paths = [name.replace("$CWD", str(world.directory)) for name in expect["watched"]]
            assert world.manager.files.watched() == paths
        case "generate":
            await _generate(world, step["resource"].replace("$DIR", str(world.directory)), expect)
    if "callbacks" in expect:
        wanted = {
            name.replace("$DIR", str(world.directory)): n for name, n in expect["callbacks"].items()
        }
        await _settle(world, sum(wanted.values()))
        assert {name: world.told.count(name) for name in world.told} == wanted
        world.told.clear()


async def _settle(world: _Manager, total: int) -> None:
    """Totals settle within a second."""
    end = time.monotonic() + 1.0
    while time.monotonic() < end and len(world.told) < max(1, total):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)


async def _generate(world: _Manager, resource: str, expect: dict[str, Any]) -> None:
    if expect.get("error") or "error_contains" in expect:
        with pytest.raises(MeshError) as caught:
            await world.manager.secret(resource)
        assert expect.get("error_contains", "") in str(caught.value)
        return
    secret = await world.manager.secret(resource)
    assert "secret" not in expect
    for field, found in (("cert", secret.chain), ("key", secret.key)):
        if field in expect:
            assert found == world.content(field, expect[field])
    blocks = x509.load_pem_x509_certificates(secret.root) if secret.root else []
    for key in ("root_set", "root_list_sorted_by_pem_text"):
        if key in expect:
            wanted = [world.root(name) for name in expect[key]]
            assert {block.serial_number for block in blocks} == {
                x509.load_pem_x509_certificate(pem).serial_number for pem in wanted
            }
            if key != "root_set":
                assert secret.root == b"\n".join(sorted(pem.strip() for pem in wanted))


class _Client:
    """One stream of a script, read in the background: cancelling a read would end the call."""

    def __init__(self, stream: SdsStream, group: asyncio.TaskGroup) -> None:
        self.stream = stream
        self.names: list[str] = []
        self._inbox: asyncio.Queue[dict[str, Message] | str] = asyncio.Queue()
        self._reader = group.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self._inbox.put_nowait(await self.stream.receive())
        except (EndOfStream, grpc.aio.AioRpcError):
            self._inbox.put_nowait((await self.stream.error())[1])

    async def next(self) -> dict[str, Message] | str:
        """The next response, or the text that the stream ended with."""
        async with asyncio.timeout(10):
            return await self._inbox.get()

    async def silence(self) -> None:
        await asyncio.sleep(0.15)
        assert self._inbox.empty(), "a response where none is due"

    def close(self) -> None:
        self._reader.cancel()


class _Script:
    """A store with opaque secrets behind the real service, and its clients by name."""

    def __init__(self, directory: Path, options: dict[str, Any]) -> None:
        self.store: dict[str, Secret] = {
            "default": Secret("default", chain=b"C1", key=b"K1"),
            "ROOTCA": Secret("ROOTCA", root=b"R1"),
        }
        self.options = SecretOptions(
            identity=ME, ca=None, socket_dir=str(directory), crl="", **options
        )
        self.service = SdsService(self.options, self._generate, SystemClock(), Metrics())
        self.clients: dict[str, _Client] = {}

    async def _generate(self, name: str) -> Secret:
        if name not in self.store:
            raise SigningFailed("script", "no such secret")
        return self.store[name]

    def set_secret(self, name: str, fields: dict[str, str] | None) -> None:
        if fields is None:
            self.store.pop(name, None)
        else:
            self.store[name] = Secret(
                name,
                chain=fields.get("cert", "").encode(),
                key=fields.get("key", "").encode(),
                root=fields.get("root", "").encode(),
            )
        self.service.on_update(name)


def _provider(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Options from the step that configures a private key provider, if there is one."""
    for step in steps:
        for name, config in step.get("private_key_provider", {}).items():
            nanos = int(float(config["pollDelay"].removesuffix("s")) % 1 * 1e9)
            return {
                "key_provider": name,
                "key_provider_poll_nanos": nanos,
                "key_provider_fallback": config.get("fallback", False),
            }
    return {}


@cases("sds/stream_scripts")
async def test_stream_scripts(case: Case, short_tmp: Path) -> None:
    steps = case.data["steps"]
    script = _Script(short_tmp, _provider(steps))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(script.service.run())
        await script.service.ready.wait()
        async with channel(script.options.socket) as made:
            if not any("a" in step.get("open", []) for step in steps):
                script.clients["a"] = _Client(open_stream(made), group)
            for step in steps:
                for name in step.get("open", []):
                    script.clients[name] = _Client(open_stream(made), group)
                await _play(script, step)
            for client in script.clients.values():
                client.close()
        task.cancel()


async def _play(script: _Script, step: dict[str, Any]) -> None:
    for name, fields in step.get("set_secret", {}).items():
        script.set_secret(name, fields)
    if "close" in step:
        script.clients[step["close"]].close()
    if "client" not in step:
        return
    client = script.clients[step["client"]]
    if "send" in step:
        await _send(script, client, step["send"])
    if step.get("expect") == "no response":
        await client.silence()
    if "expect_error_contains" in step:
        text = await client.next()
        assert isinstance(text, str)
        assert step["expect_error_contains"] in text
    if "expect_response" in step:
        found = await client.next()
        assert isinstance(found, dict), found
        assert _shown(found, in_provider=step.get("key_in") == "private_key_provider") == {
            each["resource"]: each for each in step["expect_response"]
        }
    if step.get("then") == "ack":
        await client.stream.ack(client.names)


async def _send(script: _Script, client: _Client, request: dict[str, Any]) -> None:
    """``last`` is of this client, ``last of x`` of another."""
    of = request.get("nonce", "").removeprefix("last").removeprefix(" of ")
    other = script.clients[of] if of else client
    client.names = request["resource_names"]
    await client.stream.send(
        client.names,
        nonce=other.stream.nonce if "nonce" in request else "",
        version=other.stream.version if "version" in request else "",
    )


def _shown(found: dict[str, Message], *, in_provider: bool) -> dict[str, dict[str, str]]:
    """The secrets as a script writes them."""
    shown = {}
    for name, message in found.items():
        if message.HasField("validation_context"):
            root = message.validation_context.trusted_ca.inline_bytes.decode()
            shown[name] = {"resource": name, "root": root}
            continue
        pair = message.tls_certificate
        assert pair.HasField("private_key") != in_provider
        key = pair.private_key.inline_bytes
        if in_provider:
            source = pair.private_key_provider.typed_config.value
            key = DataSource.FromString(source[2 : 2 + source[1]]).inline_bytes
        shown[name] = {
            "resource": name,
            "cert": pair.certificate_chain.inline_bytes.decode(),
            "key": key.decode(),
        }
    return shown


class _Setup:
    """One setup of agent_auth: a fake CA that accepts one credential, the part as the settings ask for it."""

    def __init__(self, case: Case, tmp: Path) -> None:
        self.settings = case.data["settings"]
        self.expect = case.data["expect"]
        self.tmp = tmp
        self.directory = tmp / "dir"
        self.directory.mkdir()
        self.fake = FakeCa()
        self.provisioned = "spiffe://cluster.local/ns/namespace/sa/provisioned"
        self.well_known = tmp / "etc" / "certs"
        self.well_known.mkdir(parents=True)
        self.fill()

    @property
    def credential(self) -> str:
        return str(self.expect["authentication"]["ca"])

    def fill(self) -> None:
        """Files that are there before the agent starts."""
        (self.tmp / "ca-root.pem").write_bytes(self.fake.ca.certificate)
        (self.tmp / "token").write_text(self.settings.get("token", "good"))
        leaf = self.fake.ca.issue(self.provisioned)
        given = str(self.settings.get("PROV_CERT", ""))
        if "provisioned" in given or "tls_client_metadata" in self.settings:
            leaf.write(self.directory)
        elif "filled by the initial run" in given:
            self.fake.ca.issue(str(ME)).write(self.directory)
        match self.settings.get("certs_in", ""):
            case "":
                pass
            case "./etc/certs":
                leaf.write(self.well_known)
            case _:
                leaf.write(self.tmp / "workload")
        if self.settings.get("external_sds", "").startswith("socket exists"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(self.tmp / "socket"))

    def accept(self, seen: Seen) -> bool:
        match self.credential:
            case "jwt":
                return seen.token == "good"
            case "mtls $PROVISIONED":
                return self.provisioned in seen.identities
            case "mtls $SPIFFE":
                return str(ME) in seen.identities
        raise AssertionError(f"the CA was asked where it is {self.credential}")

    def place(self, setting: str) -> str:
        """The directory that a setting names; the notes in brackets are for the reader."""
        given = str(self.settings.get(setting, ""))
        if given.startswith("$DIR"):
            return str(self.directory)
        return str(self.well_known) if given else ""

    def options(self) -> SecretOptions:
        provisioned = self.place("PROV_CERT")
        return SecretOptions(
            identity=ME,
            ca=CaOptions(
                address=self.fake.address,
                roots=str(self.tmp / "ca-root.pem"),
                server_name=SERVER_NAME,
                provisioned=provisioned,
                token=str(self.tmp / "token"),
            ),
            mode=Mode.FILE_MOUNTED if self.settings.get("FILE_MOUNTED_CERTS") else Mode.FULL,
            socket_dir=str(self.tmp),
            files_socket=str(self.tmp / "files-socket"),
            well_known=CertFiles.in_dir(str(self.well_known)),
            workload_files=CertFiles.in_dir(str(self.tmp / "workload")),
            output_dir=self.place("OUTPUT_CERTS"),
            key=KeyOptions(ec_algorithm="ECDSA"),
            grace_ratio=self.settings.get("SECRET_GRACE_PERIOD_RATIO", 0.5),
        )

    @asynccontextmanager
    async def ca(self) -> AsyncIterator[None]:
        self.fake.accept = self.accept
        serving = self.fake.serve(
            tls=self.fake.ca.issue(SERVER_NAME),
            require_client=self.credential.startswith("mtls"),
        )
        async with serving:
            yield


@cases("sds/agent_auth")
async def test_agent_auth(case: Case, short_tmp: Path) -> None:
    """The CA's side of each setup, and what SDS serves; the control plane's side is the agent's test."""
    setup = _Setup(case, short_tmp)
    before = _contents(setup)
    external = setup.settings.get("external_sds", "").startswith("another server")
    async with setup.ca(), asyncio.timeout(60), AsyncExitStack() as stack:
        if external:
            await stack.enter_async_context(_running(setup.options()))
        options = await settle(setup.options())
        assert (options.mode is Mode.FILES_ONLY) == external
        await stack.enter_async_context(_running(options))
        made = await stack.enter_async_context(channel(str(short_tmp / "socket")))
        for name in setup.expect["sds_resources_served"]:
            stream = open_stream(made)
            await stream.send([name.replace("$DIR", str(setup.directory))])
            assert await stream.receive()
        await _files_as_expected(setup, before)
    if setup.credential in {"never contacted", "not needed"}:
        assert setup.fake.calls == []
    else:
        assert setup.fake.calls
        assert all(setup.accept(seen) for seen in setup.fake.calls[:1])
    _control_plane_credential(setup)


@asynccontextmanager
async def _running(options: SecretOptions) -> AsyncIterator[None]:
    """The part for these options, once it listens."""
    part = build_sds(options, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(part.run())
        await part.ready.wait()
        try:
            yield
        finally:
            task.cancel()


def _contents(setup: _Setup) -> dict[str, bytes]:
    place = Path(setup.place("OUTPUT_CERTS") or setup.place("PROV_CERT") or setup.directory)
    return {path.name: path.read_bytes() for path in place.iterdir()}


async def _files_as_expected(setup: _Setup, before: dict[str, bytes]) -> None:
    expect = setup.expect
    while not set(expect.get("files", ())) <= set(_contents(setup)):
        await asyncio.sleep(0.02)
    if "changes" in expect:
        first = _contents(setup) | before
        while any(_contents(setup)[name] == first[name] for name in expect["changes"]):
            await asyncio.sleep(0.02)
    for name in expect.get("unchanged", ()):
        assert _contents(setup)[name] == before[name]


def _control_plane_credential(setup: _Setup) -> None:
    """What lies where the control plane's client certificate is taken from is the identity expected there."""
    expected = setup.expect["authentication"]["xds"]
    if not expected.startswith("mtls"):
        return
    place = setup.place("PROV_CERT") or str(setup.directory)
    found = facts((Path(place) / "cert-chain.pem").read_bytes()).uris
    identity = str(ME) if expected.endswith("$SPIFFE") else setup.provisioned
    assert found == (identity,)
