# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect

from mesh import errors
from mesh.errors import BadSetting, BadSettings, BootstrapFailed, ExitCode, MeshError, SigningFailed


def test_a_bad_setting_names_setting_value_and_reason() -> None:
    fault = BadSetting("SECRET_TTL", "1day", "not a duration", hint="write 24h")
    assert str(fault) == "SECRET_TTL='1day': not a duration"
    assert (fault.hint, fault.exit_code) == ("write 24h", ExitCode.FAILED)


def test_several_are_told_at_once() -> None:
    faults = [BadSetting("A", "x", "bad"), BadSetting("B", "y", "worse", hint="mend B")]
    whole = BadSettings(faults)
    assert str(whole) == "A='x': bad; B='y': worse"
    assert whole.hint.endswith("mend B")
    assert whole.faults == tuple(faults)


def test_field_and_retry_are_facts() -> None:
    assert BootstrapFailed("no such host", field="tracing.zipkin").field == "tracing.zipkin"
    assert not SigningFailed("ca:15012", "denied", retryable=False).retryable


def test_the_family_is_whole_and_lower_case() -> None:
    kinds = [k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, Exception)]
    assert all(issubclass(kind, MeshError) for kind in kinds)


def test_tables_have_no_double_entries() -> None:
    from mesh import ports

    values = [
        value for name, value in vars(ports).items() if name.isupper() and isinstance(value, int)
    ]
    assert len(values) == len(set(values))
    assert ports.AGENT_STATUS in ports.RESERVED_FOR_SCRAPE
