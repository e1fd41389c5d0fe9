"""Take the pictures of the page for docs/page.md: `python scripts/page_screenshots.py BUNDLE`.

Needs Chromium (`ENECG_CHROMIUM` or the one on the path) and the packages of the extra `dev`. Only generated recordings
are shown.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from enecg.simulation import make_cohort

OUT: Final = Path(__file__).resolve().parents[1] / "docs" / "img"
FLAGS: Final = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip


def main() -> None:
    """Start the service, take all pictures, stop it."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BUNDLE")
    chromium = os.environ.get("ENECG_CHROMIUM") or shutil.which("chromium")
    with serving(Path(sys.argv[1])) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, (view, options) in PICTURES.items():
            take(browser, url, name, view, options)
        browser.close()


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """The address of `enecg serve` on a free port."""
    command = [sys.executable, "-c", "from enecg.cli import main; main()", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"serving on (\S+)", line):
                url = found[1]
            if '"event": "ready"' in line:
                break
        drain = Thread(target=process.stderr.read)  # a full pipe would stop the service
        drain.start()
        try:
            yield url
        finally:
            process.terminate()
            drain.join()


def take(browser: Browser, url: str, name: str, view: Callable[[Page], None], options: dict[str, object]) -> None:
    """One picture."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Open Sinus rhythm").wait_for()
    view(page)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    path = OUT / f"page-{name}.png"
    page.screenshot(path=path, full_page=name not in ("phone", "print"))
    context.close()
    print(f"{path} {path.stat().st_size // 1000} kB")


def example(page: Page, title: str) -> None:
    """Open a generated recording."""
    page.get_by_label("Views").get_by_role("link", name="Open").click()
    page.get_by_role("button", name=f"Open {title}").click()
    page.locator("#view svg.ecg").first.wait_for()


def opening(page: Page) -> None:
    """What is seen first."""


def recording(page: Page) -> None:
    """A recording with callipers."""
    example(page, "Atrial fibrillation")
    page.get_by_role("button", name="+ Time").click()


def heat(page: Page) -> None:
    """Where an answer comes from, in the Cabrera order."""
    example(page, "Left bundle branch block")
    page.get_by_label("Order", exact=True).select_option("cabrera")
    page.get_by_role("button", name="Show it").click()
    page.get_by_label("Shade on the paper").select_option("age")


def refusal(page: Page) -> None:
    """A recording that must not be interpreted."""
    example(page, "Too short")


def compare(page: Page) -> None:
    """Two recordings on the same paper."""
    example(page, "Sinus rhythm")
    example(page, "Left bundle branch block")
    page.get_by_label("Views").get_by_role("link", name="Compare").click()
    page.locator(".beats").wait_for()


def table(page: Page) -> None:
    """A folder of recordings, one of which cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(make_cohort(Path(folder) / "cohort", 18, seed=5).parent.rglob("*.*"))
        records = [path for path in files if path.suffix in (".hea", ".dat", ".mat")]
        note = Path(folder) / "referral.txt"
        note.write_text("Dear colleague,\n")
        page.get_by_label("Choose files").set_input_files([*records, note])
        page.locator(".busy").wait_for()
        page.locator(".busy").wait_for(state="detached")
    page.get_by_role("button", name="Age").click()


def printed(page: Page) -> None:
    """The sheet of A4 that "Print or PDF" lays out."""
    recording(page)
    page.pdf(prefer_css_page_size=True)  # what the browser does to print; the page lays out its sheet for it
    page.emulate_media(media="print")


def phone(page: Page) -> None:
    """A recording in the hand."""
    example(page, "Sinus rhythm")


PICTURES: Final[dict[str, tuple[Callable[[Page], None], dict[str, object]]]] = {
    "open": (opening, {"viewport": {"width": 1280, "height": 720}}),
    "recording": (recording, {}),
    "heat": (heat, {"color_scheme": "dark"}),
    "refusal": (refusal, {"viewport": {"width": 1280, "height": 900}}),
    "compare": (compare, {"viewport": {"width": 1280, "height": 900}}),
    "table": (table, {"viewport": {"width": 1280, "height": 720}}),
    "print": (printed, {"viewport": {"width": 1123, "height": 794}}),  # A4 at 96 px an inch
    "phone": (phone, {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
}

if __name__ == "__main__":
    main()
