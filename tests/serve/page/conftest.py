"""A real browser on the real service: Chromium by Playwright's driver, `enecg serve` in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from served import Start

from generated import Trained

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
PATIENCE = 60_000  # ms; a busy machine is no defect
playwright.expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    """The distribution's Chromium; `ENECG_CHROMIUM` names another binary."""
    path = os.environ.get("ENECG_CHROMIUM") or shutil.which("chromium")
    if path is None or not Path(path).is_file():
        told = "no Chromium here (apt-get install chromium, or set ENECG_CHROMIUM)"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(start: Start, trained: Trained) -> str:
    """Address of a service with the generated bundle; patient, since the browser and it share the processors."""
    slow = str(PATIENCE // 1000)
    server = start(trained.bundle, WORKERS="1", READ_SECONDS=slow, IDLE_SECONDS=slow, BODY_SECONDS=slow)
    server.wait()
    return server.url


@pytest.fixture
def new_page(chromium: playwright.Browser, site: str) -> Iterator[Callable[..., playwright.Page]]:
    """Make a page of a context of its own; afterwards: no error in it, and nothing was asked of another host."""
    contexts: list[playwright.BrowserContext] = []
    problems: list[str] = []

    def watch(page: playwright.Page) -> None:
        def line(said: playwright.ConsoleMessage) -> None:
            if said.type == "error" and not _status(said.text):
                problems.append(said.text)

        def request(asked: playwright.Request) -> None:
            if _elsewhere(asked.url, site):
                problems.append(f"asked {asked.url}")

        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("console", line)
        page.on("request", request)

    def make(**options: object) -> playwright.Page:
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page)
        page.goto(site)
        page.get_by_role("button", name="Open Sinus rhythm").wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert not problems


def _status(text: str) -> bool:
    """A refusal is an answer; that Chromium lists it is no error of the page."""
    return re.match(r"Failed to load resource: the server responded with a status of (4\d\d|503)", text) is not None


def _elsewhere(url: str, site: str) -> bool:
    return urlsplit(url).scheme in ("http", "https") and not url.startswith(site + "/")


@pytest.fixture
def page(new_page: Callable[..., playwright.Page]) -> playwright.Page:
    """The opening view, 1440 by 1000 pixels, once it knows the examples."""
    return new_page()


@pytest.fixture(scope="session")
def fetched(site: str) -> str:
    """An example's CSV as the service generates it."""
    with urlopen(f"{site}/v1/examples/sinus/sinus.csv") as answer:
        return str(answer.read(), "ascii")
