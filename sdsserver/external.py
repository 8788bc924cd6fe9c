# SPDX-License-Identifier: Apache-2.0
"""Who serves workload secrets here: another SDS server, files, or we. Asked once, before the part is built.

Source: spec/agent.md 7.1.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import mesh.log
from mesh import paths
from mesh.errors import BadSetting, UpstreamUnavailable
from sdsserver.options import Mode, SecretOptions

PROBE_DEADLINE = 1.0
SETTING = "WORKLOAD_IDENTITY_SOCKET_FILE"

log = mesh.log.get("sds")


async def settle(options: SecretOptions) -> SecretOptions:
    """The options with the mode that holds on this machine. Raises BadSetting.

    FILES_ONLY means that another server answers on the workload socket: node metadata
    ``file-credential`` is then true.
    """
    if options.socket_name != os.path.basename(options.socket_name):
        raise BadSetting(SETTING, options.socket_name, "must be a file name without a directory")
    if await _answers(f"{options.socket_dir}/{options.socket_name}"):
        return replace(options, mode=Mode.FILES_ONLY)
    if options.socket_name != paths.WORKLOAD_SOCKET_NAME:
        raise BadSetting(
            SETTING,
            options.socket_name,
            "agent configured for non-default SDS socket path, but no server answers there",
            hint="start the external SDS server first, or unset the variable",
        )
    files = options.workload_files
    if all(os.path.exists(path) for path in (files.chain, files.key, files.root)):
        return replace(options, mode=Mode.FILE_MOUNTED, well_known=files)
    return options


async def _answers(path: str) -> bool:
    """Whether a gRPC server is behind the socket; a dead socket is removed. Raises BadSetting."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    if stat.S_ISREG(found.st_mode):
        return False
    if await _connects(path):
        log.info("workload secrets come from another server", path=path)
        return True
    try:
        os.unlink(path)
    except OSError as error:
        why = f"dead socket {path} cannot be removed: {error.strerror}"
        raise BadSetting(SETTING, os.path.basename(path), why) from None
    return False


async def _connects(path: str) -> bool:
    from wire import h2io

    try:
        connection = await h2io.connect(f"unix:{path}", timeout=PROBE_DEADLINE)
    except UpstreamUnavailable:
        return False
    await connection.close()
    return True
