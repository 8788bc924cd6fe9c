# SPDX-License-Identifier: Apache-2.0
"""Brings the kernel to the planned rules, or out of them; the order of steps and what a failure means.

iptables commits table by table, so a run that dies leaves part of the rules. Three things make that bearable:

* a **mark** (an empty chain, see ``observed.UNFINISHED``) stands from before the first change until after the last; it
  rides in the same restore input, so it costs no process. A run that finds it clears what the dead one left.
* a **failure** takes all families' rules out again, if the run started without any of ours. If it did not, there is no
  state of ours to go back to, and what stands stays as the peer leaves it (``--reconcile`` replaces it).
* with ``--guard`` nothing passes at all while the mark stands.

Source: spec/agent.md 10.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from iptables import observed, render, routes
from iptables.backend import Runner, Tool, detect
from iptables.config import CaptureConfig, RunOptions
from iptables.observed import UNFINISHED, State, Verdict
from iptables.plan import guard_rules, plan
from iptables.rules import Family, Plan
from mesh import log as logs
from mesh.errors import CaptureFailed

log = logs.get("iptables")

_SET_MARK = ("-t", "filter", "-N", UNFINISHED)
_CLEAR_MARK = ("-t", "filter", "-X", UNFINISHED)


class Capture:
    """The tools of both families with what is planned for them."""

    def __init__(self, runner: Runner, config: CaptureConfig, run: RunOptions) -> None:
        self._config = config
        self._run = run
        self._dry = runner.dry
        self._plan: Plan = plan(config)
        self._tools = _tools(runner, config, run)
        self._planned = [tool for tool in self._tools if self._plan.of(tool.family)]
        self._marked = False
        self._guarded = False

    def program(self) -> None:
        """One run: look, clean if asked or needed, apply if anything differs, set routes.

        CaptureFailed undoes it all.
        """
        try:
            self._program()
        finally:
            self._show()

    def _program(self) -> None:
        found = {tool.family: observed.parse(tool.save()) for tool in self._tools}
        if any(map(observed.killed, found.values())):
            log.warning("an earlier run was ended half way; its rules are removed first")
            found = self._recover(found)
        verdict = self._verdict(found)
        log.info("ruleset compared", residue=verdict.residue, delta=verdict.delta)
        clean = not any(observed.own_chains(found[tool.family]) for tool in self._planned)
        try:
            self._change(verdict, clean=clean)
        finally:
            self._unguard()

    def _change(self, verdict: Verdict, *, clean: bool) -> None:
        run = self._run
        replace = verdict.residue and verdict.delta and run.reconcile
        if verdict.residue and verdict.delta and not (run.reconcile or run.cleanup_only or clean):
            log.warning(
                "rules of an earlier run differ from what is wanted", hint="use --reconcile"
            )
        if run.cleanup_only:
            self.clean()
            return
        apply = verdict.delta or run.force_apply
        if (apply and run.guard) or replace:
            self._guard()
        if replace:
            self._clean_rules()
        try:
            if apply:
                self._apply()
            if not self._dry:
                routes.add(self._config)
        except CaptureFailed:
            if clean or replace or run.guard:
                log.warning("rules could not be set; all are taken out again")
                self.undo()
            raise
        finally:
            self._unmark()

    def clean(self) -> None:
        """Take out rules and routes; what is not there is no error."""
        self._mark()
        self._clean_rules()
        self._unmark()
        if not self._dry:
            routes.remove(self._config)

    undo = clean

    def _show(self) -> None:
        """The ruleset at the end, for the log."""
        for tool in self._planned:
            saved = tool.save()
            if not self._dry:
                log.debug("ruleset", family=tool.family.value, rules=saved)

    def _verdict(self, found: dict[Family, State]) -> Verdict:
        """Of both families: only those count that rules are planned for."""
        each = [observed.compare(self._plan.of(t.family), found[t.family]) for t in self._planned]
        if not any(verdict.residue for verdict in each):
            return Verdict(residue=False, delta=True)
        delta = any(verdict.delta for verdict in each) or not all(
            map(self._all_there, self._planned)
        )
        return Verdict(residue=True, delta=delta)

    def _all_there(self, tool: Tool) -> bool:
        return all(map(tool.try_command, render.checks(self._plan.of(tool.family))))

    def _recover(self, found: dict[Family, State]) -> dict[Family, State]:
        self._remove_guards()
        self._clean_rules()
        for tool in self._tools:
            _try_all(tool, observed.removals(found[tool.family]))
        self._tools[0].try_command(_CLEAR_MARK)
        return {tool.family: observed.parse(tool.save()) for tool in self._tools}

    def _apply(self) -> None:
        first, *others = self._planned
        text = render.restore(self._plan.of(first.family))
        if not self._dry and not self._marked:
            self._marked = True
            text = _block(_SET_MARK) + text
            if not others and not self._guarded:
                text += _block(_CLEAR_MARK)
        first.restore(text)
        if not others and not self._guarded:
            self._marked = False
        for tool in others:
            tool.restore(render.restore(self._plan.of(tool.family)))

    def _clean_rules(self) -> None:
        for tool in self._tools:
            _try_all(tool, render.undo(self._plan.of(tool.family)))

    # The mark and the guard

    def _mark(self) -> None:
        if not self._dry and not self._marked:
            self._tools[0].try_command(_SET_MARK)
            self._marked = True

    def _unmark(self) -> None:
        """Not while guarded: whoever finds guard rules must find the mark as well."""
        if self._marked and not self._guarded:
            self._tools[0].try_command(_CLEAR_MARK)
            self._marked = False

    def _guard(self) -> None:
        self._mark()
        self._remove_guards()
        self._guarded = True
        for tool in self._planned:
            for command in render.commands(guard_rules()):
                tool.command(command)

    def _unguard(self) -> None:
        if self._guarded:
            self._remove_guards()
            self._guarded = False
        self._unmark()

    def _remove_guards(self) -> None:
        for tool in self._planned:
            _try_all(tool, render.undo(guard_rules()))


def _try_all(tool: Tool, commands: Sequence[render.Command]) -> None:
    for command in commands:
        tool.try_command(command)


def _block(command: render.Command) -> str:
    """A command as restore input of its own."""
    _, table, *words = command
    return f"* {table}\n{' '.join(words)}\nCOMMIT\n"


def _tools(runner: Runner, config: CaptureConfig, run: RunOptions) -> list[Tool]:
    """IPv4's first. Without a usable ip6tables only IPv4 is looked at, unless IPv6 is to be captured."""
    tools = [Tool(runner, Family.V4, detect(runner, Family.V4, run.force_binary))]
    try:
        tools.append(Tool(runner, Family.V6, detect(runner, Family.V6, run.force_binary)))
    except CaptureFailed as error:
        if config.ipv6:
            raise
        log.info("no ip6tables; IPv6 is not captured anyway", reason=str(error))
    return tools
