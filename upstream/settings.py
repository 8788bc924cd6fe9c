# SPDX-License-Identifier: Apache-2.0
"""From argv and environment to one frozen tree, with every fault at once. Pure. Source: spec/upstream.md 1.1, 13.2.

Flags that cannot be used are fatal. Variables that cannot be used are, as at the peer, said and
replaced by their default (fatal with ``PILOT_STRICT_SETTINGS=true``).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from mesh import durations
from mesh.errors import BadSetting, BadSettings
from mesh.log import parse_levels
from upstream.options import (
    Address,
    AuthOptions,
    CaOptions,
    JwtRule,
    ListenOptions,
    LogOptions,
    Profile,
    PushOptions,
    ServeOptions,
    ServingOptions,
    SourceOptions,
    TokenOptions,
)

T = TypeVar("T")

STATE_DIR = "./var/lib/pilothouse/upstream"
CACERTS = "./etc/cacerts"
IGNORED = ("--ctrlz_port", "--ctrlz_address")
SERVICES = ("istiod", "istiod-remote", "istio-pilot")
"""Services under which agents may know us, each a name in the serving certificate."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadSetting("arguments", " ".join(self.prog.split()[1:]), message)


def parser() -> argparse.ArgumentParser:
    """All commands and their flags; raises BadSetting instead of exiting."""
    root = _Parser(prog="pilot-upstream", description="A small control plane for the mesh.")
    commands = root.add_subparsers(dest="command", required=True, metavar="command")
    _add_discovery(commands)
    _add_token(commands)
    commands.add_parser("version", help="print the version")
    return root


def _add_discovery(commands: argparse._SubParsersAction[_Parser]) -> None:
    serve = commands.add_parser(
        "discovery",
        aliases=["serve"],
        allow_abbrev=False,
        help="serve xDS and certificates from a directory of Istio YAML",
    )
    flag = serve.add_argument
    flag("--configDir", default="", metavar="DIR", help="directory of Istio YAML, watched")
    flag("--meshConfig", default="./etc/istio/config/mesh", metavar="FILE", help="mesh settings")
    flag("--networksConfig", default="./etc/istio/config/meshNetworks", metavar="FILE")
    flag("--registries", default=None, metavar="LIST", help="service registries; empty: files only")
    flag("--grpcAddr", default=":15010", metavar="ADDR", help="plaintext xDS; empty: off")
    flag("--secureGRPCAddr", default=":15012", metavar="ADDR", help="xDS and CA over TLS")
    flag("--httpAddr", default=":8080", metavar="ADDR", help="readiness and debug")
    flag("--httpsAddr", default=":15017", metavar="ADDR", help="webhooks (not served)")
    flag("--monitoringAddr", default=":15014", metavar="ADDR", help="metrics, version, debug")
    flag("--caCertFile", default="", metavar="FILE", help="roots for client certificates")
    flag("--tlsCertFile", default="", metavar="FILE", help="serving certificate chain")
    flag("--tlsKeyFile", default="", metavar="FILE", help="its key")
    flag("--clusterID", default=None, metavar="ID")
    flag("--log_output_level", default="", metavar="SCOPE:LEVEL,...")
    flag("--log_as_json", nargs="?", const="true", default="false", metavar="BOOL")
    flag("--state-dir", default=STATE_DIR, metavar="DIR", help="authority's key, bound addresses")
    flag(
        "--profile",
        nargs="?",
        const="true",
        default=Profile.STOCK.value,
        metavar="stock|istio",
        help="which Envoy listens",
    )
    for name in IGNORED:
        flag(name, default=None, help=argparse.SUPPRESS)


def _add_token(commands: argparse._SubParsersAction[_Parser]) -> None:
    token = commands.add_parser(
        "token",
        allow_abbrev=False,
        help="print a token of the development issuer for a service account",
        description="Believed only by a control plane whose TLS port listens on loopback.",
    )
    flag = token.add_argument
    flag("--state-dir", default=STATE_DIR, metavar="DIR")
    flag("--namespace", required=True, metavar="NAME")
    flag("--service-account", required=True, metavar="NAME")
    flag("--audience", default="istio-ca", metavar="NAME")
    flag("--ttl", default="24h", metavar="DURATION", help="life of the token (24h)")


class _Faults:
    """Collects what is wrong while parsing goes on with a stand-in."""

    def __init__(self) -> None:
        self.fatal: list[BadSetting] = []
        self.tolerated: list[BadSetting] = []

    def flag(self, name: str, text: str, parse: Callable[[str], T], instead: T) -> T:
        """The parsed flag; a fault is fatal."""
        try:
            return parse(text)
        except ValueError as error:
            self.fatal.append(BadSetting(name, text, str(error)))
            return instead

    def env(self, env: Mapping[str, str], name: str, parse: Callable[[str], T], default: T) -> T:
        """The parsed variable; a fault means the default."""
        text = env.get(name, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            hint = "correct the variable; its default is used until then"
            self.tolerated.append(BadSetting(name, text, str(error), hint=hint))
            return default

    def settle(self, *, strict: bool) -> None:
        """Raises BadSettings with everything that is fatal."""
        wrong = [*self.fatal, *(self.tolerated if strict else ())]
        if wrong:
            raise BadSettings(wrong)


def serve_options(
    arguments: argparse.Namespace, unknown: Sequence[str], env: Mapping[str, str]
) -> ServeOptions:
    """The tree for ``discovery``. Raises BadSettings naming every unusable flag."""
    faults = _Faults()
    listen = _listen(arguments, faults)
    options = ServeOptions(
        listen=listen,
        sources=_sources(arguments, faults),
        ca=_ca(arguments, env, faults),
        serving=_serving(arguments, env, faults),
        auth=_auth(env, faults, development=listen.development),
        push=_push(env, faults),
        log=_log(arguments, faults),
        profile=faults.flag("--profile", arguments.profile, _profile, Profile.STOCK),
        cluster_id=arguments.clusterID or env.get("CLUSTER_ID", "") or "Kubernetes",
        notes=_notes(arguments, unknown, faults),
    )
    strict = faults.env(env, "PILOT_STRICT_SETTINGS", _boolean, default=False)
    faults.settle(strict=strict)
    return options


def token_options(arguments: argparse.Namespace) -> TokenOptions:
    """The tree for ``token``. Raises BadSettings."""
    faults = _Faults()
    ttl = faults.flag("--ttl", arguments.ttl, _positive_duration, 0.0)
    for name, value in (
        ("--namespace", arguments.namespace),
        ("--service-account", arguments.service_account),
    ):
        faults.flag(name, value, _label, "")
    faults.settle(strict=False)
    return TokenOptions(
        state_dir=arguments.state_dir,
        namespace=arguments.namespace,
        service_account=arguments.service_account,
        audience=arguments.audience,
        ttl=ttl,
    )


def _listen(arguments: argparse.Namespace, faults: _Faults) -> ListenOptions:
    def address(name: str) -> Address | None:
        text = getattr(arguments, name)
        return faults.flag(f"--{name}", text, Address.parse, None) if text else None

    listen = ListenOptions(
        grpc=address("grpcAddr"),
        secure_grpc=address("secureGRPCAddr"),
        http=address("httpAddr"),
        monitoring=address("monitoringAddr"),
    )
    if not arguments.grpcAddr and not arguments.secureGRPCAddr:
        why = "is empty and so is --secureGRPCAddr: nothing would serve xDS"
        faults.fatal.append(BadSetting("--grpcAddr", "", why))
    return listen


def _sources(arguments: argparse.Namespace, faults: _Faults) -> SourceOptions:
    if not arguments.configDir:
        hint = "name the directory that holds the Istio YAML"
        why = "is the only source of configuration and is not set"
        faults.fatal.append(BadSetting("--configDir", "", why, hint=hint))
    registries = arguments.registries
    if registries and registries != "Kubernetes":
        why = "service registry not supported; files need none: --registries="
        faults.fatal.append(BadSetting("--registries", registries, why))
    return SourceOptions(
        config_dir=arguments.configDir,
        mesh_config=arguments.meshConfig,
        networks_config=arguments.networksConfig,
    )


def _ca(arguments: argparse.Namespace, env: Mapping[str, str], faults: _Faults) -> CaOptions:
    if not arguments.state_dir:
        faults.fatal.append(BadSetting("--state-dir", "", "must name a directory"))
    defaults = CaOptions(state_dir="", plugged_dir="")

    def life(name: str, default: float) -> float:
        return faults.env(env, name, _positive_duration, default)

    return CaOptions(
        state_dir=arguments.state_dir,
        plugged_dir=env.get("ROOT_CA_DIR", "") or CACERTS,
        default_ttl=life("DEFAULT_WORKLOAD_CERT_TTL", defaults.default_ttl),
        max_ttl=life("MAX_WORKLOAD_CERT_TTL", defaults.max_ttl),
        root_ttl=life("CITADEL_SELF_SIGNED_CA_CERT_TTL", defaults.root_ttl),
        rsa_bits=faults.env(
            env, "CITADEL_SELF_SIGNED_CA_RSA_KEY_SIZE", _key_size, defaults.rsa_bits
        ),
    )


def _serving(
    arguments: argparse.Namespace, env: Mapping[str, str], faults: _Faults
) -> ServingOptions:
    given = {"--tlsCertFile": arguments.tlsCertFile, "--tlsKeyFile": arguments.tlsKeyFile}
    if any(given.values()):
        for name, value in given.items():
            if not value:
                why = "must be given together with its other half"
                faults.fatal.append(BadSetting(name, "", why))
    namespace = env.get("POD_NAMESPACE", "") or "istio-system"
    revision = env.get("REVISION", "")
    names = {f"{service}.{namespace}.svc" for service in SERVICES}
    names |= {"istiod.istio-system.svc"}
    names |= {name.strip() for name in env.get("ISTIOD_CUSTOM_HOST", "").split(",") if name.strip()}
    if revision not in {"", "default"}:
        names.add(f"istiod-{revision}.{namespace}.svc")
    return ServingOptions(
        names=tuple(sorted(names)),
        certificate=arguments.tlsCertFile,
        key=arguments.tlsKeyFile,
        roots=arguments.caCertFile,
    )


def _auth(env: Mapping[str, str], faults: _Faults, *, development: bool) -> AuthOptions:
    text = env.get("JWT_RULE", "")
    rule = faults.flag("JWT_RULE", text, jwt_rule, None) if text else None
    audiences = env.get("TOKEN_AUDIENCES", "") or "istio-ca"
    return AuthOptions(
        rule=rule,
        development=development,
        audiences=tuple(part.strip() for part in audiences.split(",") if part.strip()),
        required=faults.env(env, "XDS_AUTH", _boolean, default=True),
        check_identity=faults.env(env, "PILOT_ENABLE_XDS_IDENTITY_CHECK", _boolean, default=True),
    )


def jwt_rule(text: str) -> JwtRule:
    """Istio's JWTRule from proto JSON, either spelling. Raises ValueError."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("issuer"), str):
        raise ValueError("needs a string 'issuer'")  # noqa: TRY004  one error type for callers
    audiences = data.get("audiences", [])
    if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
        raise ValueError("'audiences' must be a list of strings")
    return JwtRule(
        issuer=data["issuer"],
        audiences=tuple(audiences),
        jwks_uri=str(data.get("jwksUri", data.get("jwks_uri", ""))),
        jwks=str(data.get("jwks", "")),
    )


def _push(env: Mapping[str, str], faults: _Faults) -> PushOptions:
    defaults = PushOptions()
    return PushOptions(
        debounce_after=faults.env(env, "PILOT_DEBOUNCE_AFTER", _duration, defaults.debounce_after),
        debounce_max=faults.env(env, "PILOT_DEBOUNCE_MAX", _duration, defaults.debounce_max),
        throttle=faults.env(env, "PILOT_PUSH_THROTTLE", _count, defaults.throttle),
        streams_per_second=faults.env(
            env, "PILOT_MAX_REQUESTS_PER_SECOND", _rate, defaults.streams_per_second
        ),
    )


def _log(arguments: argparse.Namespace, faults: _Faults) -> LogOptions:
    try:
        levels = parse_levels(arguments.log_output_level)
    except BadSetting as fault:
        faults.fatal.append(fault)
        levels = {}
    as_json = faults.flag("--log_as_json", arguments.log_as_json, _boolean, instead=False)
    return LogOptions(as_json=as_json, levels=levels)


def _notes(
    arguments: argparse.Namespace, unknown: Sequence[str], faults: _Faults
) -> tuple[str, ...]:
    notes = [f"flag {word.partition('=')[0]} is unknown and ignored" for word in flags_in(unknown)]
    if any(getattr(arguments, name.lstrip("-")) is not None for name in IGNORED):
        notes.append("ctrlz is not served: its flags are ignored")
    if arguments.profile.lower() in ("true", "false"):
        notes.append("--profile names the Envoy that listens (stock, istio): no profiling pages")
    if arguments.httpsAddr and arguments.registries != "":
        notes.append("webhooks are not served: --httpsAddr is ignored")
    if not arguments.grpcAddr:
        notes.append("plaintext xDS is off: --httpAddr serves no gRPC")
    if arguments.registries != "":
        notes.append("no Kubernetes registry: configuration comes from --configDir only")
    notes += [f"{fault}; its default is used" for fault in faults.tolerated]
    return tuple(notes)


def flags_in(words: Sequence[str]) -> list[str]:
    """The words that are flags; what follows an unknown flag may be its value."""
    return [word for word in words if word.startswith("-")]


def _profile(text: str) -> Profile:
    if text.lower() in ("true", "false"):
        return Profile.STOCK  # istiod's switch of the same name; said in the notes
    try:
        return Profile(text)
    except ValueError:
        raise ValueError("must be stock or istio") from None


def _boolean(text: str) -> bool:
    # Go's strconv.ParseBool.
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise ValueError("must be true or false")


def _positive_duration(text: str) -> float:
    seconds = durations.parse(text)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def _duration(text: str) -> float:
    seconds = durations.parse(text)
    if seconds < 0:
        raise ValueError("must not be negative")
    return seconds


def _rate(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError("must be a number of streams a second, 0 for the default")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _key_size(text: str) -> int:
    bits = int(text)
    if not 2048 <= bits <= 8192:
        raise ValueError("must be between 2048 and 8192")
    return bits


def _label(text: str) -> str:
    ok = text and all(c.isascii() and (c.isalnum() or c in "-.") for c in text)
    if not ok:
        raise ValueError("must be a name of letters, digits, '-' and '.'")
    return text
