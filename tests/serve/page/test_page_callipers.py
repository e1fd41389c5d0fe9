"""Callipers: they read what lies between them, whatever the zoom, by mouse and by keyboard."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("playwright", reason="Playwright is not installed (extra dev)")

from browsing import choose, csv_file, open_example, open_files
from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
NOMINAL = 96 / 25.4  # px a millimetre
PULSES = "# rate: 500\n# unit: mV\nI,II\n" + "\n".join(  # 1.5 mV high and exactly 1 s apart in lead II
    f"{0.5 * pulse:.3f},{1.5 * pulse:.3f}" for pulse in (math.exp(-(((i % 500 - 200) / 8) ** 2)) for i in range(5000))
)


def handle(page: Page, part: str) -> Locator:
    return page.get_by_role("slider", name=re.compile(rf"Calliper \d \(\w+\), {part}")).last


def reading(page: Page) -> str:
    return page.locator(".reading").last.inner_text()


def ms(page: Page) -> float:
    found = re.match(r"(\d+) ms", reading(page))
    assert found
    return float(found[1])


def drag(page: Page, node: Locator, dx: float, dy: float = 0) -> None:
    box = node.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_a_known_interval_is_read_and_survives_zoom_speed_and_layout(page: Page) -> None:
    open_files(page, csv_file("pulses.csv", PULSES))
    page.get_by_role("button", name="+ Time").click()
    assert reading(page) == "1000 ms · 60.0 bpm"
    assert handle(page, "left edge").get_attribute("aria-valuetext").startswith("1000 ms · 60.0 bpm, at ")  # type: ignore[union-attr]
    for percent, speed in ((100, 25), (150, 25), (150, 50)):
        choose(page, Speed=str(speed))
        while page.locator(".zoom-now").inner_text() != f"{percent} %":
            page.get_by_role("button", name="Zoom in").click()
        edges = [handle(page, f"{side} edge").locator(".line").bounding_box() for side in ("left", "right")]
        assert edges[0] and edges[1]
        assert edges[1]["x"] - edges[0]["x"] == pytest.approx(speed * NOMINAL * percent / 100, abs=0.02)
        assert reading(page) == "1000 ms · 60.0 bpm"
    choose(page, Layout="12x1", Order="cabrera", Gain="20")
    assert reading(page) == "1000 ms · 60.0 bpm"
    assert page.get_by_role("slider").count() == 3


@pytest.mark.parametrize("percent", [100, 200])
def test_dragging_an_edge_by_millimetres_changes_the_time_by_their_worth(page: Page, percent: int) -> None:
    open_files(page, csv_file("pulses.csv", PULSES))
    while page.locator(".zoom-now").inner_text() != f"{percent} %":
        page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="+ Time").click()
    before, left = ms(page), page.locator(".paper-scroll").evaluate("node => node.scrollLeft")
    drag(page, handle(page, "right edge"), -10 * NOMINAL * percent / 100)  # 10 mm are 400 ms
    assert ms(page) == pytest.approx(before - 400, abs=2)
    assert page.locator(".paper-scroll").evaluate("node => node.scrollLeft") == left  # the picture stays where it is


def test_amplitude_by_mouse_and_keyboard(page: Page) -> None:
    open_files(page, csv_file("pulses.csv", PULSES))
    page.get_by_role("button", name="+ Amplitude").click()
    assert reading(page) == "1.50 mV"  # from the zero line to the R peak
    drag(page, handle(page, "upper edge"), 0, 5 * NOMINAL)  # 5 mm down are 0.5 mV
    assert float(reading(page).split()[0]) == pytest.approx(1.0, abs=0.03)
    before = float(reading(page).split()[0])
    handle(page, "upper edge").press("ArrowUp")
    assert float(reading(page).split()[0]) == pytest.approx(before + 0.01, abs=0.006)
    handle(page, "upper edge").press("Shift+ArrowUp")
    assert float(reading(page).split()[0]) == pytest.approx(before + 0.51, abs=0.006)


def test_keys_move_by_a_sample_five_millimetres_and_to_the_next_peak(page: Page, site: str, fetched: str) -> None:
    open_example(page)
    page.get_by_role("button", name="+ Time").click()
    start = ms(page)
    handle(page, "right edge").press("ArrowRight")
    assert ms(page) == pytest.approx(start + 2, abs=1)  # one sample at 500 Hz; shown in whole ms
    handle(page, "right edge").press("Shift+ArrowRight")
    assert ms(page) == pytest.approx(start + 202, abs=1)
    handle(page, "right edge").press("PageDown")
    assert ms(page) == start
    body = json.dumps({"rate": 500, "unit": "mV", "leads": columns(fetched)}).encode()
    with urlopen(Request(f"{site}/v1/predict?signal=true", body, {"Content-Type": "application/json"})) as answer:
        peaks = json.load(answer)["predictions"][0]["signal"]["r_peaks"]
    assert any(round((b - a) * 1000) == start for a, b in pairwise(peaks))
    handle(page, "left edge").press("PageDown")
    handle(page, "right edge").press("Delete")
    assert page.get_by_role("slider").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "+ Time"


def columns(text: str) -> dict[str, list[float]]:
    """Lead -> samples of a CSV with comment lines on top."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = [[float(cell) for cell in line.split(",")] for line in lines[1:]]
    return dict(zip(lines[0].split(","), map(list, zip(*rows, strict=True)), strict=True))


def test_mean_rate_march_names_and_corrected_qt(page: Page) -> None:
    open_files(page, csv_file("pulses.csv", PULSES))
    page.get_by_role("button", name="+ Time").click()
    page.get_by_label("intervals").fill("2")
    page.get_by_label("intervals").press("Tab")
    assert reading(page) == "1000 ms over 2 intervals: 500 ms · 120 bpm"
    page.get_by_label("intervals").fill("1")
    page.get_by_label("intervals").press("Tab")
    page.get_by_label("march").check()
    march = page.locator(".calliper-march").get_attribute("d") or ""
    assert march.count("M") == 10  # a beat a second over ten seconds
    page.get_by_label("name").select_option("RR")
    page.get_by_role("button", name="+ Time").click()
    handle(page, "right edge").press("Shift+ArrowLeft")
    page.get_by_label("name").last.select_option("QT")
    assert ms(page) == 800
    told = page.locator(".qtc").inner_text()
    assert "Fridericia 800 ms" in told and "Bazett 800 ms" in told and "RR 1000 ms (RR by calliper)" in told


def test_formulas(page: Page) -> None:
    got = page.evaluate("import('/page/measure.js').then((m) => m.corrected(400, 800))")
    assert got == pytest.approx(
        {"fridericia": 430.887, "bazett": 447.214, "framingham": 430.8, "hodges": 426.25}, abs=1e-3
    )


def test_a_calliper_off_the_sheet_is_said_to_be(page: Page) -> None:
    open_files(page, csv_file("pulses.csv", PULSES))
    choose(page, Layout="12x1")
    page.get_by_role("button", name="+ Time").click()
    drag(page, handle(page, "crossbar"), 0, -15 * NOMINAL)  # one row up, from II to I
    assert "lead I" in page.locator(".where").inner_text()
    assert reading(page) == "1000 ms · 60.0 bpm"
    choose(page, Layout="3x4")  # lead I ends at 2.5 s there
    assert "not on this sheet" in page.locator(".where").inner_text()
    choose(page, Layout="12x1")
    assert "not on this sheet" not in page.locator(".where").inner_text()
