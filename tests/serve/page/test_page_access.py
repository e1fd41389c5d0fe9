"""For everyone: keyboard alone, screen readers (axe), dark and high-contrast colours, phone to wall screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="Playwright is not installed (extra dev)")

import axe_playwright_python
from browsing import Make, go, open_example, open_files, paper
from playwright.sync_api import Page, expect

from enecg import NOTICE

pytestmark = pytest.mark.browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def faults(page: Page) -> list[str]:
    """What axe finds that is serious or critical."""
    page.evaluate(AXE)
    found = page.evaluate(
        "(tags) => axe.run(document, { runOnly: tags, resultTypes: ['violations'] }).then((all) => all.violations)",
        RULES,
    )
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", (1440, 1000)), ("dark", (390, 844))], ids=["light desk", "dark phone"]
)
def test_no_view_has_a_serious_fault(new_page: Make, scheme: str, size: tuple[int, int]) -> None:
    page = new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    assert faults(page) == []
    open_example(page, "Too short")
    assert faults(page) == []
    open_example(page)
    page.get_by_role("button", name="+ Time").click()
    page.get_by_role("button", name="+ Amplitude").click()
    page.get_by_role("button", name="Show it").click()
    page.get_by_label("Shade on the paper").wait_for()
    assert faults(page) == []
    page.get_by_role("button", name="Calibrate by a bank card").click()
    assert faults(page) == []
    page.keyboard.press("Escape")
    for view in ("Compare", "Table", "Model"):
        go(page, view)
        page.locator("h1").wait_for()
        assert faults(page) == [], view
    open_files(page, {"name": "x.csv", "mimeType": "text/csv", "buffer": b"I,II\n1,2\n"})
    assert faults(page) == []


def test_axe_sees_a_fault_under_the_pages_policy(page: Page) -> None:
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [fault.split(":")[0] for fault in faults(page)] == ["button-name"]


def test_everything_can_be_done_by_keyboard(page: Page) -> None:
    def tab_to(name: str, at_most: int = 60) -> None:
        for _ in range(at_most):
            page.keyboard.press("Tab")
            text = page.evaluate(
                "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            )
            if re.search(name, text):
                return
        pytest.fail(f"Tab does not reach {name}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    tab_to("Open Sinus rhythm")
    page.keyboard.press("Enter")
    paper(page).wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"  # where the reading begins
    tab_to("^ECG paper")
    before = page.locator(".zoom-now").inner_text()
    page.keyboard.press("+")
    assert page.locator(".zoom-now").inner_text() != before
    page.keyboard.press("1")
    assert page.locator(".zoom-now").inner_text() == "100 %"
    tab_to(r"^\+ Time")
    page.keyboard.press("Enter")
    focused = "document.activeElement.getAttribute('aria-valuetext')"
    said = page.evaluate(focused)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(focused) != said
    expect(page.locator("#live")).to_have_text(re.compile(r"\d+ ms · [\d.]+ bpm"))
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "+ Time"
    tab_to("^Show it")
    page.keyboard.press("Enter")
    page.get_by_label("Shade on the paper").wait_for()
    tab_to("^Expert")  # the table of weights can be scrolled
    seen = set()
    for _ in range(80):  # no trap: Tab comes round to the beginning
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.textContent"))
    assert "Skip to the content" in seen or page.evaluate("document.activeElement === document.body")


def test_the_picture_is_described_and_its_inner_texts_are_silent(page: Page) -> None:
    open_example(page)
    tree = page.locator(".viewer").aria_snapshot()
    assert re.search(
        r"img \"sinus\.csv 12 leads, 10 s, layout 3x4, 25 mm/s, 10 mm/mV; mean heart rate \d+ per minute", tree
    )
    assert "aVR" not in tree


def test_high_contrast_uses_the_systems_colours(new_page: Make) -> None:
    page = new_page(forced_colors="active")
    open_example(page)
    colours = page.evaluate(
        """() => {
          const probe = document.createElement('div');
          probe.style.color = 'CanvasText';
          document.body.append(probe);
          const wanted = getComputedStyle(probe).color;
          return [wanted, getComputedStyle(document.querySelector('.ecg-trace')).stroke];
        }"""
    )
    assert colours[0] == colours[1]


def test_dark_paper_on_a_dark_screen_and_light_by_choice_and_on_paper(new_page: Make) -> None:
    page = new_page(color_scheme="dark")
    open_example(page)
    fill = "getComputedStyle(document.querySelector('.ecg-paper')).fill"
    assert page.evaluate(fill) == "rgb(16, 20, 24)"
    page.get_by_label("Colours").select_option("light")
    assert page.evaluate(fill) == "rgb(255, 255, 255)"
    page.get_by_label("Colours").select_option("dark")
    page.emulate_media(media="print")
    assert page.evaluate(fill) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [320, 768, 1280, 3840])
def test_from_phone_to_wall_screen_nothing_spills_and_the_notice_stands(new_page: Make, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 900})
    for view in ("open", "ecg", "table"):
        if view == "ecg":
            open_example(page)
        if view == "table":
            go(page, "Table")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        notice = page.locator("header .notice")
        assert notice.inner_text() == NOTICE and notice.is_visible()
