# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: what it shows of a real agent with a real Envoy, and that everybody can use it."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import mesh.log
from tests.support.admin import Admin, admin
from tests.support.axe import violations
from tests.support.browser import Browser, Page, chromium
from tests.support.live_sidecar import Sidecar, sidecar

pytestmark = pytest.mark.browser

LIVE = "document.getElementById('link').textContent === 'live'"
PROBE = "/app-health/client/livez"
CANARY = "canary-of-the-page"
SCRIPT = "<img src=x onerror=\"document.title='owned'\">"
TAB, ENTER = 9, 13


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    probers = json.dumps({PROBE: {"tcpSocket": {"port": 1}, "timeoutSeconds": 1}})
    env = {
        "PILOT_ADMIN_ADDR": "127.0.0.1:0",
        "ISTIO_KUBE_APP_PROBERS": probers,
        "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
        "CA_HEADER_X_SECRET": CANARY,
        "XDS_HEADER_X_SECRET": CANARY,
    }
    with sidecar(tmp_path_factory.mktemp("s"), env) as running:
        yield running


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(chromium(tmp_path / "profile"))


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    before = mesh.log.levels()
    yield
    mesh.log.configure(levels=before)


async def opened(browser: Browser, port: int, token: str, *, dark: bool = False) -> Page:
    page = await browser.page(dark=dark)
    await page.goto(f"http://127.0.0.1:{port}/#token={token}")
    await page.until(LIVE)
    return page


async def resized(page: Page, width: int) -> None:
    await page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )


async def facts(page: Page, section: str) -> dict[str, str]:
    """A section's names and values."""
    found = await page.js(
        f"Object.fromEntries([...document.querySelectorAll('#{section} dt')]"
        ".map(dt => [dt.textContent, dt.nextElementSibling.textContent]))"
    )
    assert isinstance(found, dict)
    return found


async def rows(page: Page, table: str) -> list[list[str]]:
    found = await page.js(
        f"[...document.querySelectorAll('#{table} tbody tr')]"
        ".map(tr => [...tr.cells].map(cell => cell.textContent))"
    )
    assert isinstance(found, list)
    return found


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.loads(reply.read())


@pytest.mark.envoy
async def test_what_a_real_sidecar_shows_agrees_with_envoy_and_the_kernel(
    browser: Browser, real: Sidecar
) -> None:
    with pytest.raises(urllib.error.HTTPError):
        asked(f"http://127.0.0.1:{real.workload.status_port}{PROBE}")
    envoy = f"http://127.0.0.1:{real.workload.admin_port}"
    info, chain = asked(f"{envoy}/server_info"), asked(f"{envoy}/certs")["certificates"]
    leaf = next(leaf for each in chain for leaf in each.get("cert_chain", []))
    page = await opened(browser, real.admin_port(), real.token)
    assert await page.js("document.title") == "Ready: client.demo"
    identity = await facts(page, "identity")
    assert identity["identity"] == leaf["subject_alt_names"][0]["uri"]
    assert int(identity["serial"], 16) == int(leaf["serial_number"], 16)
    assert identity["valid for"].endswith(" s")
    shown = await facts(page, "envoy")
    assert shown["version"].split()[0] == info["version"].split("/")[1]
    assert (shown["state"], shown["draining"], shown["epoch"]) == ("LIVE", "no", "0")
    assert Path(f"/proc/{shown['process']}/exe").resolve().name == "envoy"
    assert {"agent", "envoy"} <= (await facts(page, "use")).keys()
    types = {row[0]: row for row in await rows(page, "types")}
    assert {"CDS", "LDS"} <= types.keys()
    (told,) = asked(f"{envoy}/stats?format=json&type=TextReadouts&filter=lds.version_text")["stats"]
    assert types["LDS"][1:3] == [told["value"], "control plane"]
    assert any("outbound traffic is captured" in row[2] for row in await rows(page, "rules"))
    assert (await rows(page, "probes"))[0][:3] == [PROBE, "TCP pod:1", "500"]
    settings = {row[0]: row for row in await rows(page, "settings")}
    assert settings["POD_NAME"][1:] == ["client", "environment"]
    assert CANARY not in await page.js("document.documentElement.outerHTML")
    assert page.complaints == []
    origins = await page.js(
        "performance.getEntriesByType('resource').map(r => new URL(r.name).origin)"
    )
    assert set(origins) == {f"http://127.0.0.1:{real.admin_port()}"}


@pytest.mark.envoy
async def test_what_changes_is_shown_while_the_page_is_open(
    browser: Browser, real: Sidecar
) -> None:
    page = await opened(browser, real.admin_port(), real.token)
    before = len(await rows(page, "pushes"))
    real.change_config()
    await page.until(f"document.querySelectorAll('#pushes tbody tr').length > {before}")
    left = (await facts(page, "identity"))["valid for"]
    await page.until(
        "[...document.querySelectorAll('#identity dt')].find(dt => dt.textContent === 'valid for')"
        f".nextElementSibling.textContent !== {json.dumps(left)}"
    )


@pytest.mark.envoy
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nothing_keeps_anybody_from_using_it(
    browser: Browser, real: Sidecar, *, dark: bool
) -> None:
    page = await opened(browser, real.admin_port(), real.token, dark=dark)
    for width in (1300, 360):
        await resized(page, width)
        assert await violations(page) == []
        assert await page.js("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_trouble_is_shown_and_nothing_of_it_is_run(
    browser: Browser, short_tmp: Path, *, dark: bool
) -> None:
    async with admin(short_tmp, tcp=True) as given:
        troubled(given)
        page = await opened(browser, given.server.port, given.token, dark=dark)
        await page.until(
            f"document.getElementById('verdict').textContent.includes({json.dumps(SCRIPT)})"
        )
        assert (await facts(page, "envoy"))["draining"] == "yes: draining"
        assert (await facts(page, "plane"))["reason"] == SCRIPT
        types = {row[0]: row for row in await rows(page, "types")}
        assert types["CDS"][-1].endswith(SCRIPT)
        assert types["CDS"][2] == "store"
        assert (await facts(page, "start"))["secret"] == "pending"
        assert await page.js("document.title") == "Not ready: web.shop"
        assert await page.js("document.images.length") == 0
        assert await violations(page) == []


def troubled(given: Admin) -> None:
    """Everything that can be wrong, told by somebody hostile."""
    status = given.facts.status
    status["state"] = "DRAINING"
    status["ready"] = {"ready": False, "fault": SCRIPT}
    status["started"]["secret"] = None
    status["envoy"] = {"pid": 0, "state": "not answering", "why": SCRIPT}
    status["secrets"] |= {"last_error": SCRIPT, "issued": 1}
    status["lastNack"] = {"type": "CDS", "error": SCRIPT, "at": 5.0}
    status["capture"] = {"verdict": "not captured", "why": SCRIPT, "at": 5.0}
    status["xds"]["types"]["CDS"] |= {"lastError": SCRIPT, "source": "store", "version": SCRIPT}


async def test_the_keyboard_is_enough(browser: Browser, short_tmp: Path) -> None:
    async with admin(short_tmp, tcp=True) as given:
        page = await browser.page()
        await page.goto(f"http://127.0.0.1:{given.server.port}/")
        await page.until("document.activeElement.id === 'token'")
        assert await violations(page) == []
        await page.type("not the token")
        await page.js("document.getElementById('verdict').textContent = 'asked'")
        await page.press("Enter", ENTER, "\r")
        await page.until(
            "document.getElementById('verdict').textContent.startsWith('Not connected')"
        )
        assert await page.js("document.getElementById('token').value") == ""
        await page.type(given.token)
        await page.press("Enter", ENTER, "\r")
        await page.until(LIVE)
        assert await page.js(KEPT) == ["", "", ""], "the token is in memory only"
        page = await opened(browser, given.server.port, given.token)
        order = []
        for _ in range(40):
            await page.press("Tab", TAB)
            order.append(await page.js(FOCUSED))
        assert order[0] == "Skip to the content"
        wanted = ["Configuration by type, table", "Settings, table", "filter", "level"]
        assert [each for each in wanted if each not in order] == []
        await page.js("document.getElementById('level').focus()")
        await page.type("xdsproxy:debug")
        await page.press("Enter", ENTER, "\r")
        await page.until("document.getElementById('level-said').textContent === 'Set.'")
        assert mesh.log.levels()["xdsproxy"] is mesh.log.Level.DEBUG
        await page.js("document.getElementById('filter').focus()")
        await page.type("pod_n")
        await page.until("document.querySelectorAll('#settings tbody tr').length === 1")
        assert [row[0] for row in await rows(page, "settings")] == ["POD_NAME"]


async def test_a_token_outlives_neither_the_page_nor_the_address(
    browser: Browser, short_tmp: Path
) -> None:
    async with admin(short_tmp, tcp=True) as given:
        page = await opened(browser, given.server.port, given.token)
        assert await page.js("location.href") == f"http://127.0.0.1:{given.server.port}/"
        assert await page.js(KEPT) == ["", "", ""]
        await page.goto(f"http://127.0.0.1:{given.server.port}/")
        await page.until("!document.getElementById('login').hidden")
        assert not await page.js(LIVE)


KEPT = "[Object.values(sessionStorage).join(), Object.values(localStorage).join(), document.cookie]"
FOCUSED = (
    "(e => e.getAttribute('aria-label') || e.id || e.textContent.trim())(document.activeElement)"
)


async def test_an_agent_that_ends_is_said_and_found_again(
    browser: Browser, short_tmp: Path
) -> None:
    async with admin(short_tmp, tcp=True) as given:
        page = await opened(browser, given.server.port, given.token)
        await asyncio.sleep(0)
    await page.until("document.getElementById('verdict').textContent.startsWith('Not connected')")
    await page.until("document.getElementById('content').classList.contains('stale')")
    assert await page.js("document.querySelectorAll('#types tbody tr').length") == 1
