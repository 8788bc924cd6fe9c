# SPDX-License-Identifier: Apache-2.0
"""A support bundle: everything the admin endpoint tells, in one archive that may be sent to somebody. Effects only.

The agent has taken secrets out already; they are taken out once more here, for the bundle may be of an older agent.
A page that does not answer is a line in ``missing.txt``, not the end of the bundle. The archive is 0600.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator

from ctl.agent import AgentApi, AgentSilent
from mesh import redact
from mesh.errors import BadSetting

PAGES = ("status", "settings", "nacks", "pushes", "capture", "logs/levels")
NAME = "pilothouse-support"


def collected(agent: AgentApi) -> Iterator[tuple[str, str]]:
    """Name and text of each file. Raises AgentSilent where not even the status answers."""
    missing = []
    for page in PAGES:
        try:
            document = redact.document(agent.get(page))
        except (AgentSilent, ValueError) as error:
            if page == PAGES[0]:
                raise
            missing.append(f"{page}: {error}\n")
            continue
        yield f"{page.replace('/', '-')}.json", json.dumps(document, indent=2) + "\n"
    try:
        yield "metrics.txt", redact.text(agent.text("metrics"))
    except AgentSilent as error:
        missing.append(f"metrics: {error}\n")
    if missing:
        yield "missing.txt", redact.text("".join(missing))


def write(agent: AgentApi, path: str, now: float) -> list[str]:
    """Make the archive; gives the names in it. Raises AgentSilent, BadSetting; a file that is there is not replaced."""
    files = list(collected(agent))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        why = error.strerror or str(error)
        raise BadSetting("--output", path, why, hint="name a new file") from None
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in files:
            data = text.encode()
            entry = tarfile.TarInfo(f"{NAME}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now)
            archive.addfile(entry, io.BytesIO(data))
    return [name for name, _ in files]
