# SPDX-License-Identifier: Apache-2.0
"""Makes Envoy's processes: which program, with which words, as which epoch. Starts none; removes what dead ones left.

The first Envoy of a chain makes up the chain's number and writes it to a file, which is read when a second is wanted.
Source: spec/agent.md 3.1; ADR 0013.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Sequence
from dataclasses import replace

from agent.envoy import chain
from agent.envoy.command import COLD, EnvoyArguments, command_line
from agent.envoy.gate import with_gate
from agent.envoy.options import HotRestartOptions, ProcessOptions
from agent.envoy.process import EnvoyProcess
from mesh.errors import EnvoyFailed


class Launcher:
    """``bootstrap`` is set once it is written; ``binary`` is what starts next, and an upgrade changes it."""

    def __init__(
        self, arguments: EnvoyArguments, process: ProcessOptions, options: HotRestartOptions
    ) -> None:
        self.bootstrap = ""
        self.binary = arguments.binary
        self.options = options
        self._arguments = arguments
        self._process = process

    @property
    def base_id_file(self) -> str:
        return f"{self.options.socket}.id"

    def first(self) -> EnvoyProcess:
        """The first of a chain, or one that no other follows."""
        if not self.options.enabled:
            return self._made(self.binary, self._arguments.override, COLD)
        self.sweep()
        words = chain.first(self.options, self.base_id_file)
        return self._made(self.binary, self._arguments.override, words)

    def rehearsal(self, binary: str, gate: str) -> EnvoyProcess:
        """One that takes all configuration and, while the gate is shut, not one connection."""
        override = with_gate(
            self._arguments.override,
            gate,
            xds_socket=self.options.xds_socket,
            admin_socket=self.options.admin_socket,
        )
        return self._made(binary, override, COLD)

    def following(self, binary: str, gate: str, *, epoch: int) -> EnvoyProcess:
        """The one that takes over once its gate is opened. Raises EnvoyFailed."""
        override = with_gate(self._arguments.override, gate, xds_socket=self.options.xds_socket)
        words = chain.following(self.options, epoch, self.base_id())
        return self._made(binary, override, words, epoch=epoch)

    def _made(
        self, binary: str, override: str, words: Sequence[str], *, epoch: int = 0
    ) -> EnvoyProcess:
        arguments = replace(self._arguments, binary=binary, override=override)
        command = command_line(arguments, self.bootstrap, hot_restart=words)
        return EnvoyProcess(self._process, command, epoch=epoch)

    def base_id(self) -> int:
        """The chain's number. Raises EnvoyFailed where its first Envoy has written none."""
        try:
            with open(self.base_id_file, encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise EnvoyFailed(f"the number of the chain of envoys is not known: {error}") from None

    def sweep(self) -> None:
        """What a chain leaves when its last Envoy is gone: sockets, shared memory, its number."""
        if not self.options.enabled:
            return
        with contextlib.suppress(EnvoyFailed, OSError):
            os.unlink(chain.shared_memory(self.base_id()))
        left = glob.glob(f"{glob.escape(self.options.socket)}[._]*")
        for path in [*left, self.options.admin_socket]:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def forget_unfinished(self, version: str) -> bool:
        """Take back the mark of an epoch that died while it initialised, without which none may follow.

        False where the layout of the shared memory, which ``version`` names, is not known.
        """
        if version != chain.KNOWN_LAYOUT:
            return False
        try:
            file = os.open(chain.shared_memory(self.base_id()), os.O_RDWR | os.O_NOFOLLOW)
        except (EnvoyFailed, OSError):
            return False
        try:
            os.pwrite(file, bytes(chain.FLAGS_SIZE), chain.FLAGS_AT)
        finally:
            os.close(file)
        return True
