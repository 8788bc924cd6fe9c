# SPDX-License-Identifier: Apache-2.0
"""grpcio, the independent witness, without types: its stubs know the blocking API only.

The one adapter for tests: ``from tests.support.grpcio import grpc``; ``grpc.aio`` is loaded.
"""

from __future__ import annotations

import importlib
from typing import Any

grpc: Any = importlib.import_module("grpc")
importlib.import_module("grpc.aio")
