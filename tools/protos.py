# SPDX-License-Identifier: Apache-2.0
"""Generate ``wire/proto/*_pb2.py`` and ``.pyi`` from the ``.proto`` files beside them. Needs grpcio-tools."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run protoc over every file; its exit status."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "wire/proto").glob("*.proto"))
    well_known = str(files("grpc_tools") / "_proto")
    arguments = [
        "protoc",
        f"-I{ROOT}",
        f"-I{well_known}",
        f"--python_out={ROOT}",
        f"--pyi_out={ROOT}",
    ]
    return int(protoc.main([*arguments, *protos]))


if __name__ == "__main__":
    sys.exit(main())
