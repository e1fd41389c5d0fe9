"""A real browser on the real service: Chromium by Playwright's driver, `enecg serve` in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from generated import Trained

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
PATIENCE = 30_000  # ms; a busy machine is no defect


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
def site(trained: Trained) -> Iterator[str]:
    """Address of a running service with the generated bundle; it must end cleanly when it is told to."""
    command = [
        sys.executable,
        "-c",
        "from enecg.cli import main; main()",
        "serve",
        str(trained.bundle),
        "--port",
        "0",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    address: Queue[str] = Queue()

    def listen(lines: Iterator[str]) -> None:
        for line in lines:
            if found := re.search(r"serving on (http://\S+)", line):
                address.put(found[1])

    reader = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
    reader.start()
    with process:
        try:
            url = address.get(timeout=PATIENCE / 1000)
            _until_ready(url)
            yield url
        finally:
            process.terminate()
            code = process.wait(PATIENCE / 1000)
            reader.join(PATIENCE / 1000)
    assert code in (0, -signal.SIGTERM)


def _until_ready(url: str) -> None:
    """The service answers 503 until its workers have looked at a first recording."""
    last = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            with urlopen(f"{url}/v1/ready"):
                return
        except HTTPError as refused:
            with refused:
                if refused.code != 503 or time.monotonic() > last:
                    raise
        time.sleep(0.2)


@pytest.fixture
def new_page(chromium: playwright.Browser, site: str) -> Iterator[object]:
    """Make a page of a context of its own; afterwards: no error in it, and nothing was asked of another host."""
    contexts, problems = [], []

    def make(address: str = "", **options: object) -> playwright.Page:
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" and not _status(line.text) else None)  # fmt: skip
        page.on("request", lambda request: problems.append(f"asked {request.url}") if _elsewhere(request.url, site) else None)  # fmt: skip
        page.goto(f"{site}/{address}")
        page.get_by_role("button", name="Open Sinus rhythm").or_(page.locator("dialog")).first.wait_for()
        return page

    yield make
    for context in contexts:
        context.close()
    assert not problems


def _status(text: str) -> bool:
    """A refusal is an answer; that Chromium lists it is no error of the page."""
    return text.startswith("Failed to load resource: the server responded with a status of 4")


def _elsewhere(url: str, site: str) -> bool:
    return urlsplit(url).scheme in ("http", "https") and not url.startswith(site + "/")


@pytest.fixture
def page(new_page) -> playwright.Page:  # type: ignore[no-untyped-def]
    """The opening view, 1440 by 1000 pixels, once it knows the examples."""
    return new_page()


@pytest.fixture(scope="session")
def fetched(site: str) -> str:
    """An example's CSV as the service generates it."""
    with urlopen(f"{site}/v1/examples/sinus/sinus.csv") as answer:
        return str(answer.read(), "ascii")
