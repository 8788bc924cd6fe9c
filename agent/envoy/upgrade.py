# SPDX-License-Identifier: Apache-2.0
"""Another Envoy takes over without a lost request: compare, rehearse, hand over; or leave everything as it is.

    compare   both programs' --hot-restart-version, or nothing is started
    rehearse  the new program takes the whole configuration alone: no port, no connection, no word to the present one
    hand over the next epoch does the same at its gate, which opens when it would serve what the present one serves

A hot restart takes the admin port from the parent before the child has proved anything. That is why it is rehearsed,
and why an epoch that dies after all is followed by one with the former program. Effects; what is fit, ``fitness`` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import NamedTuple, NoReturn

import mesh.log
from agent.envoy import chain, fitness
from agent.envoy.admin import EnvoyAdmin
from agent.envoy.binary import cannot_run
from agent.envoy.gate import Gatekeeper
from agent.envoy.launcher import Launcher
from agent.envoy.process import EnvoyProcess
from agent.envoy.supervisor import Supervisor
from mesh.errors import EnvoyFailed

log = mesh.log.get("upgrade")

LOOK_EVERY = 0.05
VERSION_TIMEOUT = 10.0
_VERSION = re.compile(r"[\w.]{1,64}")
SETTLE = 10.0
"""Seconds that the agent's end waits for a hand-over that has begun."""


class NotUpgraded(EnvoyFailed):
    """The former Envoy serves on."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint or "nothing has changed; see envoy's own lines in the log"


class Upgraded(NamedTuple):
    """Who serves now."""

    binary: str
    epoch: int
    pid: int


class _Asked(NamedTuple):
    binary: str
    answer: asyncio.Future[Upgraded]


class Upgrader:
    """``run`` until cancelled; ``upgrade`` from anywhere."""

    def __init__(
        self,
        launcher: Launcher,
        supervisor: Supervisor,
        admin: EnvoyAdmin,
        keeper: Gatekeeper,
        *,
        patience: float,
    ) -> None:
        self._launcher = launcher
        self._supervisor = supervisor
        self._admin = admin
        self._keeper = keeper
        self._patience = patience
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()
        self._busy = False
        self._idle = asyncio.Event()
        """No hand-over is under way."""
        self._idle.set()

    async def upgrade(self, binary: str) -> Upgraded:
        """Let the program ``binary`` take over. Raises NotUpgraded, CannotRun. Goes on if the caller is cancelled."""
        if not self._launcher.options.enabled:
            hint = "start the agent with PILOT_HOT_RESTART=true: an Envoy started without cannot be followed"
            raise NotUpgraded("hot restart is off", hint)
        if self._busy:
            raise NotUpgraded("an upgrade is under way", "wait for its end")
        self._busy = True
        answer: asyncio.Future[Upgraded] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Asked(binary, answer))
        return await asyncio.shield(answer)  # no deadline: each step has one

    async def settle(self) -> None:
        """Until no hand-over is half done; not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                await self._idle.wait()

    async def run(self) -> NoReturn:
        while True:
            asked = await self._queue.get()  # no deadline: nobody may ever ask
            try:
                result = await self._upgrade(asked.binary)
            except EnvoyFailed as error:
                log.error("envoy not upgraded", binary=asked.binary, why=error.why, hint=error.hint)  # noqa: TRY400  one line
                asked.answer.set_exception(error)
                asked.answer.exception()  # seen, also where the caller is gone
            else:
                asked.answer.set_result(result)
            finally:
                self._busy = False

    async def _upgrade(self, binary: str) -> Upgraded:
        present = self._present()
        running = await hot_restart_version(present.command[0])
        if why := chain.refusal(running, await hot_restart_version(binary)):
            raise NotUpgraded(why, "this program needs a new pod: their memory cannot be shared")
        log.info("envoy upgrade begins", binary=binary, hot_restart_version=running)
        await self._rehearse(binary)
        self._idle.clear()
        try:
            return await self._hand_over_or_back(binary, running)
        finally:
            self._idle.set()

    def _present(self) -> EnvoyProcess:
        present = self._supervisor.envoy
        if present is None or not present.alive:
            raise NotUpgraded("no envoy runs", "wait until it does")
        if self._supervisor.ending.is_set():
            raise NotUpgraded("the agent ends")
        return present

    # ---- the rehearsal ----

    async def _rehearse(self, binary: str) -> None:
        """Raises NotUpgraded where the program does not become fit."""
        gate = self._keeper.build()
        process = self._launcher.rehearsal(binary, gate)
        path = self._launcher.options.admin_socket
        try:
            await self._supervisor.enlist(process)
            await self._until_fit(process, self._admin.at(path), self._admin, gate)
        finally:
            process.kill()
        log.info("envoy upgrade rehearsed", binary=binary)

    async def _until_fit(
        self, process: EnvoyProcess, new: EnvoyAdmin, present: EnvoyAdmin | fitness.Seen, gate: str
    ) -> None:
        why = "it has not answered"
        try:
            async with asyncio.timeout(self._patience):
                while why:
                    await asyncio.sleep(LOOK_EVERY)
                    self._check(process)
                    with contextlib.suppress(EnvoyFailed, ValueError):
                        known = (
                            present
                            if isinstance(present, fitness.Seen)
                            else await self.look(present)
                        )
                        why = fitness.fault(await self.look(new), known, gate)
        except TimeoutError:
            raise NotUpgraded(f"not fit after {self._patience:g} s: {why}") from None

    def _check(self, process: EnvoyProcess) -> None:
        if not process.alive:
            raise NotUpgraded("the new envoy ended before it was fit")
        if self._idle.is_set() and self._supervisor.ending.is_set():
            raise NotUpgraded("the agent ends")

    async def look(self, admin: EnvoyAdmin) -> fitness.Seen:
        """What an Envoy says of itself. Raises EnvoyFailed, ValueError."""
        server, listeners, clusters, waiting = [
            await admin.get(page, timeout=5.0)
            for page in (fitness.SERVER, fitness.LISTENERS, fitness.CLUSTERS, fitness.WAITING)
        ]
        return fitness.seen(server=server, listeners=listeners, clusters=clusters, waiting=waiting)

    # ---- the hand-over ----

    async def _hand_over_or_back(self, binary: str, version: str) -> Upgraded:
        known = await self._known()
        former = self._launcher.binary
        try:
            return await self._hand_over(binary, known)
        except EnvoyFailed as error:
            why = error.why
        if not self._launcher.forget_unfinished(version):
            raise NotUpgraded(why, "the former envoy serves on, but has no admin port any more")
        log.warning("the former envoy's program takes over again", why=why, binary=former)
        try:
            await self._hand_over(former, known)
        except EnvoyFailed as error:
            hint = f"the former envoy serves on without its admin port, for {error.why}"
            raise NotUpgraded(why, hint) from None
        raise NotUpgraded(why, "the former program serves as the next epoch; nothing was lost")

    async def _known(self) -> fitness.Seen:
        """What the present Envoy serves, asked while it can be asked."""
        try:
            return await self.look(self._admin)
        except (EnvoyFailed, ValueError) as error:
            raise NotUpgraded(f"the present envoy does not answer: {error}") from None

    async def _hand_over(self, binary: str, known: fitness.Seen) -> Upgraded:
        """The next epoch, from its start until it serves alone. Raises EnvoyFailed, and then has killed it."""
        present = self._present_or_fail()
        gate = self._keeper.build()
        process = self._launcher.following(binary, gate, epoch=present.epoch + 1)
        try:
            await self._supervisor.enlist(process)
            await self._until_fit(process, self._admin, known, gate)
            self._keeper.open(gate)
            await self._until_live(process)
        except BaseException:
            process.kill()
            await process.ended.wait()  # no deadline: what was killed ends
            raise
        self._launcher.binary = binary
        self._supervisor.promote(process)
        log.info("envoy upgraded", binary=binary, epoch=process.epoch, pid=process.pid)
        return Upgraded(binary, process.epoch, process.pid)

    def _present_or_fail(self) -> EnvoyProcess:
        present = self._supervisor.envoy
        if present is None or not present.alive:
            raise NotUpgraded("the present envoy ended")
        return present

    async def _until_live(self, process: EnvoyProcess) -> None:
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    self._check(process)
                    with contextlib.suppress(EnvoyFailed, ValueError):
                        found = await self.look(self._admin)
                        if (found.state, found.epoch) == ("LIVE", process.epoch):
                            return
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise NotUpgraded(f"not live {self._patience:g} s after its gate opened") from None


async def hot_restart_version(binary: str) -> str:
    """What the program says. Raises CannotRun, NotUpgraded."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary,
            "--hot-restart-version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,  # that is where Envoy says it
        )
    except OSError as error:
        raise cannot_run(binary, error) from None
    try:
        async with asyncio.timeout(VERSION_TIMEOUT):
            out, _ = await process.communicate()
    except TimeoutError:
        raise NotUpgraded(f"{binary} --hot-restart-version does not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()  # no deadline: what was killed ends
    version = out.decode(errors="replace").strip()
    if process.returncode != 0 or not _VERSION.fullmatch(version):
        raise NotUpgraded(f"{binary} does not say its hot restart version", "is it an envoy?")
    return version
