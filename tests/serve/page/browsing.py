"""What a user does on the page, for its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page

Make = Callable[..., Page]  # a page of a new context; takes the options of `Browser.new_context`


def open_files(page: Page, *files: Path | dict[str, object]) -> None:
    """Pick files and wait for the paper or the refusal."""
    go(page, "Open")
    page.get_by_label("Choose files").set_input_files(list(files))  # type: ignore[arg-type]
    shown(page)


def open_example(page: Page, title: str = "Sinus rhythm") -> None:
    """Open a generated recording and wait for it."""
    go(page, "Open")
    page.get_by_role("button", name=f"Open {title}").click()
    shown(page)


def shown(page: Page) -> None:
    """Wait until a recording is drawn or refused."""
    page.locator("#view svg.ecg, #view .refusal").first.wait_for()


def go(page: Page, view: str) -> None:
    """Choose a view."""
    page.get_by_label("Views").get_by_role("link", name=view, exact=True).click()


def csv_file(name: str, text: str) -> dict[str, object]:
    """A file to pick."""
    return {"name": name, "mimeType": "text/csv", "buffer": text.encode()}


def paper(page: Page) -> Locator:
    """The drawing of the recording's view."""
    return page.locator("#view svg.ecg").first


def choose(page: Page, **settings: str) -> None:
    """Set controls of the drawing by their label."""
    for label, value in settings.items():
        page.get_by_label(label, exact=True).select_option(value)
