"""The pages in a real browser: headless Chromium, at the width of a desktop and of a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.real_runs import RealRun

from sparsenas.reporting import compare, report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Chromium and chromedriver")
WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(real_run: RealRun, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = Path(shutil.copytree(real_run("spos"), tmp_path_factory.mktemp("pages") / "run"))
    both = compare([folder, real_run("random")], folder / "compare.html")
    return [report(folder), both]


def requested(browser: Any) -> list[str]:
    """What the page has asked the browser to load since the last call."""

    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_in_a_browser(browser: Any, pages: list[Path], width: int) -> None:
    """No error on the console, nothing loaded, nothing wider than the window, all charts drawn and axes in range."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for page in pages:
        requested(browser)
        browser.get(page.as_uri())
        assert browser.get_log("browser") == []
        assert [url for url in requested(browser) if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        charts = browser.execute_script(
            "return [...document.querySelectorAll('.chart')].map(box => ({"
            "  drawn: box.querySelectorAll('svg').length, width: box.getBoundingClientRect().right,"
            "  axes: [box._fullLayout.xaxis, box._fullLayout.yaxis].map(axis => [axis.tickformat, axis.range]) }))"
        )
        assert charts
        for chart in charts:
            assert chart["drawn"] > 0
            assert chart["width"] <= width
            for tickformat, (low, high) in chart["axes"]:
                assert not str(tickformat).endswith(("%", "p")) or 0 <= low < high <= 1
        outside = browser.execute_script(
            "return [...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll, .graphs, pre, svg')"
            f" && part.getBoundingClientRect().right > {width}).map(part => part.outerHTML.slice(0, 80))"
        )
        assert outside == []
        wide = "return [...document.querySelectorAll('.stack')].filter(t => t.offsetWidth > t.parentNode.clientWidth)"
        assert browser.execute_script(wide) == [], "tables of several runs are read without scrolling"
