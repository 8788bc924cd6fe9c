# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange with a metadata server: no proxy, no redirect, no more than it may say. The room's only socket."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from bootstrap.platform.found import Answer, NoAnswer

_LARGEST = 1 << 20


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: float = 1.0,
    any_status: bool = False,
) -> Answer:
    """The answer. ``timeout`` holds for each wait on the socket; the caller has an overall deadline."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(url, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if response.status != 200 and not any_status:
        raise NoAnswer(url, f"status {response.status}")
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(body.decode(errors="replace"), names)
