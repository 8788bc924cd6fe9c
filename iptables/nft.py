# SPDX-License-Identifier: Apache-2.0
"""Brings the kernel to the planned rules through nft, or out of them; the order of steps and what a failure means.

The rules of both families are one transaction, so a run that dies leaves the old ones or the new ones, and there is
no moment that ``--guard`` would have to bridge. Routes go before: they mean nothing until a rule sets a mark. If the
transaction is refused, those that were not there go again. Source: spec/agent.md 10.8.
"""

from __future__ import annotations

from iptables import nft_observed, nft_render, routes
from iptables.backend import Nft, Runner
from iptables.config import CaptureConfig, RunOptions
from iptables.netlink import Message
from iptables.nft_observed import Found
from iptables.nft_plan import plan
from mesh import log as logs
from mesh.errors import CaptureFailed

log = logs.get("iptables")


class Capture:
    """nft with what is planned for it."""

    def __init__(self, runner: Runner, config: CaptureConfig, run: RunOptions) -> None:
        self._config = config
        self._run = run
        self._dry = runner.dry
        self._nft = Nft(runner)
        self._before = ""
        self._added: list[Message] = []

    def program(self) -> None:
        """One run: look, then set or clean. CaptureFailed when nothing was changed."""
        found = Found() if self._dry else nft_observed.parse(self._nft.chains())
        if found.iptables:
            log.warning(
                "rules of the iptables kind from an earlier run are there as well",
                hint="clean them with --cleanup-only, without --native-nftables",
            )
        if self._run.cleanup_only:
            self.clean()
            return
        if self._run.rollback:
            self._before = "".join(map(self._nft.table, found.ours))
        self._set(nft_render.transaction(plan(self._config), found, comments=self._run.comments))

    def _set(self, text: str) -> None:
        if self._dry:
            self._nft.apply(text)
            return
        self._added = routes.add(self._config)
        try:
            self._nft.apply(text)
        except CaptureFailed:
            routes.take_back(self._added)
            raise
        log.info("nftables rules programmed", transaction=text)

    def clean(self) -> None:
        """Take out our tables and routes; what is not there is no error."""
        self._nft.apply(nft_render.removal())
        if not self._dry:
            routes.remove(self._config)

    def undo(self) -> None:
        """Back to the tables of ours that stood before this run (with ``--rollback``); to none if there were none."""
        self._nft.apply(nft_render.removal() + self._before)
        routes.take_back(self._added)
