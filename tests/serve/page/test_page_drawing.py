"""The drawing on the page: every sample where the paper says, at every zoom, with nothing hidden."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="Playwright is not installed (extra dev)")

from browsing import Make, choose, csv_file, open_files, paper
from playwright.sync_api import Page

from enecg.drawing.sheet import Sheet
from enecg.leads import STANDARD
from enecg.recording import Recording
from enecg.simulation import simulate
from plain_values import place

pytestmark = pytest.mark.browser
NOMINAL = 96 / 25.4  # px a millimetre
POINTS = """svg => {
  const found = {};
  for (const path of svg.querySelectorAll('[data-lead]')) {
    const ctm = path.getScreenCTM();
    const numbers = path.getAttribute('d').match(/-?[0-9.]+/g).map(Number);
    found[path.dataset.lead] = numbers.map((v, i) => i % 2 ? v * ctm.d + ctm.f : v * ctm.a + ctm.e);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def recording() -> Recording:
    made = simulate(3, rhythm="PVC").recording
    return Recording(np.round(made.signal, 3), made.rate, made.leads)  # the service sends whole microvolts


def csv_of(recording: Recording, unit: str = "mV") -> str:
    head = f"# rate: {recording.rate:g}\n# unit: {unit}\n{','.join(recording.leads)}\n"
    rows = (",".join("" if np.isnan(v) else f"{v:.3f}" for v in row) for row in recording.signal.T)
    return head + "\n".join(rows) + "\n"


def drawn(page: Page) -> dict[str, np.ndarray]:
    """Lead -> points `[sample, (x, y)]` in pixels from the drawing's corner."""
    corner = paper(page).evaluate("svg => { const box = svg.getBoundingClientRect(); return [box.x, box.y]; }")
    found: dict[str, list[float]] = paper(page).evaluate(POINTS)
    return {lead: np.array(points).reshape(-1, 2) - corner for lead, points in found.items()}


def zoom_to(page: Page, percent: int) -> None:
    shown = page.locator(".zoom-now")
    page.get_by_role("button", name="True scale").click()
    while shown.inner_text() != f"{percent} %":
        page.get_by_role("button", name="Zoom in" if percent > 100 else "Zoom out").click()


def check_against(sheet: Sheet, points: dict[str, np.ndarray], factor: float) -> None:
    """Every sample of every lead lies where the server's drawing has it, to a fiftieth of a pixel."""
    for segment in sheet.segments:
        x, y = sheet.trace(segment)
        expected = np.stack([x, y], 1) * NOMINAL * factor
        found = points[segment.lead + ("-strip" if segment.strip else "")]
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 0.02


def test_every_sample_lies_where_the_paper_says_at_two_zooms(page: Page, recording: Recording) -> None:
    open_files(page, csv_file("known.csv", csv_of(recording)))
    for percent in (100, 200):
        zoom_to(page, percent)
        check_against(Sheet(recording), drawn(page), percent / 100)
    sample = 3000  # 6 s, third column and row: 15 + 150 mm from the left, 25 + 60 mm from above less 10 mm/mV
    x, y = (165, 85 - 10 * float(recording.lead("V3")[sample]))
    place = drawn(page)["V3"][sample - 2500]
    assert place == pytest.approx([x * NOMINAL * 2, y * NOMINAL * 2], abs=0.02)


@pytest.mark.parametrize(
    ("layout", "order", "speed", "gain"),
    [("6x2", "standard", 25, 5), ("12x1", "cabrera", 50, 10), ("3x4", "cabrera", 25, 20)],
)
def test_layouts_orders_speeds_and_gains(
    page: Page, recording: Recording, layout: Any, order: Any, speed: int, gain: int
) -> None:
    open_files(page, csv_file("known.csv", csv_of(recording)))
    choose(page, Layout=layout, Order=order, Speed=str(speed), Gain=str(gain))
    sheet = Sheet(recording, layout, order, float(speed), float(gain))
    points = drawn(page)
    check_against(sheet, points, 1)
    assert len(points) == len(STANDARD) + (layout == "3x4")
    text = paper(page).locator(".ecg-text").text_content() or ""
    assert f"{speed} mm/s, {gain} mm/mV" in text
    assert ("−aVR" in text) == (order == "cabrera")
    pulse = paper(page).locator(".ecg-pulse").get_attribute("d") or ""
    assert f"v-{gain}h{speed // 5}v{gain}" in pulse and pulse.count("M") == sheet.rows


def test_the_line_is_dark_on_the_screen_where_a_sample_lies(page: Page, recording: Recording) -> None:
    open_files(page, csv_file("known.csv", csv_of(recording)))
    sheet = Sheet(recording)
    lead = recording.lead("II")[: round(2 * recording.rate)]
    peak = int(lead.argmax())
    x, y = np.array(place(sheet, "II", peak)) * NOMINAL
    image = base64.b64encode(paper(page).screenshot()).decode()
    tone = page.evaluate(
        """async ([image, x, y]) => {
          const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
          const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
          const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
          canvas.drawImage(picture, 0, 0);
          const darkest = (cx, cy) => {
            const { data } = canvas.getImageData(Math.round(cx) - 1, Math.round(cy) - 1, 3, 3);
            return Math.min(...Array.from({ length: 9 }, (_, i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]));
          };
          return [darkest(x, y), darkest(x + 40, y)];
        }""",
        [image, x, y],
    )
    assert tone[0] < 200 < 300 < tone[1]  # of 765: the trace is nearly black, grid and paper are light


def test_gaps_stay_open_and_absent_leads_are_named(page: Page, recording: Recording) -> None:
    signal = recording.signal.copy()
    signal[1, 400:450] = np.nan
    kept = [i for i, name in enumerate(recording.leads) if name != "V6"]
    part = Recording(signal[kept], recording.rate, tuple(recording.leads[i] for i in kept))
    open_files(page, csv_file("gap.csv", csv_of(part)))
    path = paper(page).locator('[data-lead="II"]').get_attribute("d") or ""
    assert path.count("M") == 2 and path.count("L") == 1250 - 50 - 2
    assert "V6 not recorded" in (paper(page).locator(".ecg-text").text_content() or "")
    assert "not recorded: V6" in (paper(page).locator("desc").text_content() or "")
    assert page.get_by_text("II without samples").count()


def test_a_normalised_recording_has_no_millivolt_scale(page: Page, recording: Recording) -> None:
    scaled = recording.signal / recording.signal.std(axis=1, keepdims=True)
    open_files(page, csv_file("z.csv", csv_of(Recording(scaled, recording.rate, recording.leads), "unitless")))
    text = paper(page).locator(".ecg-text").text_content() or ""
    assert "2.5 mm/SD (normalised recording: no millivolt scale)" in text and "mV" not in text
    assert "no millivolt scale" in page.locator(".facts").inner_text()
    page.get_by_role("button", name="+ Amplitude").click()
    assert "SD" in page.locator(".reading").inner_text()


def test_a_long_recording_is_shown_in_parts_and_a_short_one_says_what_is_not_reached(page: Page) -> None:
    long = simulate(4, seconds=14).recording
    open_files(page, csv_file("long.csv", csv_of(long)))
    page.get_by_role("button", name="Later").click()
    text = paper(page).locator(".ecg-text").text_content() or ""
    assert "4 to 14 s of 14 s" in text
    assert drawn(page)["II-strip"].shape == (5000, 2)
    part = Recording(np.round(long.signal[:, 2000:], 3), long.rate, long.leads)
    check_against(Sheet(part), drawn(page), 1)

    short = simulate(4, seconds=6).recording
    open_files(page, csv_file("short.csv", csv_of(short)))
    assert "ends before V4, V5 and V6 are reached" in page.locator(".scale-note").inner_text()
    choose(page, Layout="12x1")
    assert "reached" not in page.locator(".scale-note").inner_text()


def test_what_is_cut_off_at_the_edge_of_the_paper_is_said(page: Page, recording: Recording) -> None:
    tall = Recording(recording.signal * 8, recording.rate, recording.leads)
    open_files(page, csv_file("tall.csv", csv_of(tall)))
    assert "cut off at the edge of the paper" in page.locator(".scale-note").inner_text()
    gentle = Recording(recording.signal / 4, recording.rate, recording.leads)
    open_files(page, csv_file("gentle.csv", csv_of(gentle)))
    assert "cut off" not in page.locator(".scale-note").inner_text()


def test_a_bank_card_sets_the_scale_and_another_screen_is_noticed(new_page: Make, recording: Recording) -> None:
    page = new_page()
    open_files(page, csv_file("known.csv", csv_of(recording)))
    page.get_by_role("button", name="Calibrate by a bank card").click()
    page.get_by_label("Size").fill("5")
    assert page.locator(".bank-card").evaluate("node => node.getBoundingClientRect().width") == pytest.approx(428)
    page.get_by_role("button", name="Use this size").click()
    assert "true scale, 5.00 px a millimetre" in page.locator(".scale-note").inner_text()
    assert drawn(page)["II-strip"][500] == pytest.approx(
        np.array(place(Sheet(recording), "II", 500, strip=True)) * 5, abs=0.01
    )
    page.evaluate("localStorage.setItem('enecg.screen', JSON.stringify({px: 5, key: 'another screen'}))")
    page.get_by_role("button", name="True scale").click()
    assert "has changed since the calibration" in page.locator(".scale-note").inner_text()
