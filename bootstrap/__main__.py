# SPDX-License-Identifier: Apache-2.0
"""The child: inputs on stdin, files written whole or not at all, a report on stdout, reasons on stderr.

Report: one JSON object, ``{"warnings": [...]}`` or ``{"error": {"why": ..., "field": ...}}``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile
from typing import TYPE_CHECKING

from bootstrap import grpc_bootstrap
from bootstrap.inputs import BootstrapInputs
from mesh.errors import BootstrapFailed

if TYPE_CHECKING:
    from bootstrap.author import Authored


def main() -> int:
    """0 when the files are in place."""
    gc.disable()  # the child lives a second and keeps what it makes
    try:
        warnings = write(_inputs(sys.stdin.read()))
    except BootstrapFailed as error:
        _report({"error": {"why": error.why, "field": error.field}})
        sys.stderr.write(f"{error}\n")
        return 1
    _report({"warnings": list(warnings)})
    return 0


def _inputs(text: str) -> BootstrapInputs:
    try:
        return BootstrapInputs.from_json(text)
    except (ValueError, TypeError) as error:
        raise BootstrapFailed(str(error), field="stdin") from None


def write(inputs: BootstrapInputs) -> tuple[str, ...]:
    """Author and write; what was tolerated comes back."""
    inputs = _with_platform(inputs)
    warnings: tuple[str, ...] = ()
    if inputs.output:
        authored = _author(inputs)
        warnings = authored.warnings
        for path, content in authored.files.items():
            _place(path, content, 0o666 & ~_umask(), field="output")
    if inputs.grpc_output:
        text = grpc_bootstrap.author(inputs)
        _place(inputs.grpc_output, text, 0o644, field="grpc_output")
    return warnings


def _with_platform(inputs: BootstrapInputs) -> BootstrapInputs:
    """The cloud is asked while the author is imported, which takes about as long."""
    if inputs.platform.cloud == "none":
        return inputs
    from bootstrap.platform import discover

    discovery = discover.start(inputs)
    if inputs.output:
        importlib.import_module("bootstrap.author")
    return discover.with_platform(inputs, discovery.result())


def _author(inputs: BootstrapInputs) -> Authored:
    from bootstrap.author import author

    try:
        return author(inputs)
    except (ValueError, TypeError) as error:  # pydantic's and betterproto2's own refusals
        raise BootstrapFailed(str(error), field="inputs") from error


def _place(path: str, content: str, mode: int, *, field: str) -> None:
    try:
        _replace(path, content, mode)
    except OSError as error:
        why = f"cannot write {path}: {error.strerror or error}"
        raise BootstrapFailed(why, field=field) from error


def _replace(path: str, content: str, mode: int) -> None:
    """Whole or not at all: a temporary file beside it, synced, then renamed over it."""
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _report(report: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    sys.exit(main())
