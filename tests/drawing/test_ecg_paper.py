"""The drawing: every sample where it should be, true scale, nothing hidden, safe to put into a page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg.drawing.ecg_paper import TOLERANCE, draw
from enecg.drawing.sheet import Layout, Order, Sheet
from enecg.errors import InputError
from enecg.leads import CABRERA, STANDARD
from enecg.readers import read
from enecg.recording import Recording
from enecg.simulation import simulate
from plain_values import place

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return simulate(3, rhythm="PVC").recording


def traces(svg: str) -> dict[str, list[np.ndarray]]:
    """Lead -> its strokes as points `[point, (x, y)]` in mm, read back from the drawing."""
    found = {}
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        name = path.get("data-lead")
        if name is None:
            continue
        assert path.get("transform") == "scale(.01)"
        strokes = []
        for x, y, steps in re.findall(r"M(-?\d+) (-?\d+)(?:l([-\d ]+)|h0)", path.get("d") or ""):
            moves = np.array(steps.split(), int).reshape(-1, 2)
            strokes.append(np.cumsum(np.vstack([[int(x), int(y)], moves]), axis=0) / 100)
        found[name] = strokes
    return found


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1"])
@pytest.mark.parametrize("order", ["standard", "cabrera"])
def test_the_line_passes_through_every_sample(recording: Recording, layout: Layout, order: Order) -> None:
    sheet, drawn = Sheet(recording, layout, order), traces(draw(recording, layout=layout, order=order))
    assert set(drawn) == {*STANDARD, *(["II-strip"] if layout == "3x4" else [])}
    for segment in sheet.segments:
        (stroke,) = drawn[f"{segment.lead}-strip" if segment.strip else segment.lead]
        samples = np.arange(segment.first, segment.last)
        x = sheet.left + samples / recording.rate * 25
        sign = -1 if segment.inverted else 1
        y = segment.y - sign * 10 * recording.lead(segment.lead)[samples]
        assert np.abs(np.interp(x, stroke[:, 0], stroke[:, 1]) - y).max() < TOLERANCE + 0.015  # and rounding, 2 × 0.005
        assert stroke[0] == pytest.approx([x[0], y[0]], abs=0.006) and stroke[-1] == pytest.approx(
            [x[-1], y[-1]], abs=0.006
        )


def test_a_known_sample_lies_at_a_known_place(recording: Recording) -> None:
    sheet = Sheet(recording)
    value = float(recording.lead("V3")[3000])  # 6 s: third column, third row
    assert place(sheet, "V3", 3000) == pytest.approx((15 + 150, 10 + 15 + 60 - 10 * value))
    assert place(sheet, "II", 3000, strip=True) == pytest.approx((165, 115 - 10 * float(recording.lead("II")[3000])))
    twice = Sheet(recording, "12x1", speed=50, gain=5)
    assert place(twice, "V3", 3000) == pytest.approx((20 + 300, 10 + 10 + 8 * 15 - 5 * value))
    for lead, sample in (("V3", 100), ("V3", 5000), ("V9", 3000)):
        with pytest.raises(ValueError, match="is not on the sheet"):
            place(sheet, lead, sample)


def test_each_lead_appears_once_and_in_its_order(recording: Recording) -> None:
    for order, names in (("standard", STANDARD), ("cabrera", CABRERA)):
        sheet = Sheet(recording, "3x4", order)  # type: ignore[arg-type]
        leads = [segment for segment in sheet.segments if not segment.strip]
        assert [("-" if segment.inverted else "") + segment.lead for segment in leads] == list(names)
        for i, segment in enumerate(leads):
            assert (segment.x, segment.y) == (15 + 62.5 * (i // 3), 25 + 30 * (i % 3))
            assert (segment.first, segment.last) == (1250 * (i // 3), 1250 * (i // 3 + 1))
    assert "−aVR</text>" in draw(recording, order="cabrera") and "−aVR" not in draw(recording)


@pytest.mark.parametrize(("gain", "speed"), [(10, 25), (5, 50), (20, 12.5)])
def test_scale_pulse_and_grid_are_true(recording: Recording, gain: float, speed: float) -> None:
    svg = draw(recording, gain=gain, speed=speed)
    root = ElementTree.fromstring(svg)
    assert root.get("width") == f"{float((root.get('viewBox') or '').split()[2]):g}mm"
    assert root.get("height") == f"{float((root.get('viewBox') or '').split()[3]):g}mm"
    pulses = re.findall(r"M1\.5 (\d+)h[\d.]+v-([\d.]+)h([\d.]+)v", svg)
    assert [row for row, _, _ in pulses] == ["25", "55", "85", "115"]
    assert {(float(up), float(wide)) for _, up, wide in pulses} == {(gain, 0.2 * speed)}
    for name, step in (("thin", 1), ("thick", 5)):
        (grid,) = (path for path in root.iter(f"{SVG}path") if path.get("class") == f"ecg-{name}")
        across = [int(x) for x in re.findall(r"M(\d+) 5V", grid.get("d") or "")]
        assert across == list(range(0, int(float((root.get("width") or "")[:-2])) + 1, step))
    for segment in Sheet(recording, gain=gain, speed=speed).segments:
        assert segment.y % 5 == 0  # zero lines lie on thick lines
    assert f"{speed:g} mm/s, {gain:g} mm/mV" in svg


def test_it_stays_small_even_when_noisy() -> None:
    for layout in ("3x4", "6x2", "12x1"):
        assert len(draw(simulate(1, noise=4).recording, layout=layout)) < 400_000  # type: ignore[arg-type]


def test_it_names_itself_and_carries_nothing_foreign(recording: Recording) -> None:
    svg = draw(recording, title='<script>alert("&")</script>')
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    title, described = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text == '<script>alert("&")</script>'
    assert described is not None and "12 leads, 10 s, layout 3x4, 25 mm/s, 10 mm/mV" in (described.text or "")
    assert (root.get("aria-labelledby") or "").split() == [title.get("id"), described.get("id")]
    assert not list(root.iter(f"{SVG}script")) and not list(root.iter(f"{SVG}image"))
    assert "url(#" in svg and not re.search(r'(href|src)=|url\((?!#)|@import|style="', svg)
    for group in root.iter(f"{SVG}g"):
        assert group.get("aria-hidden") == "true" or not list(group.iter(f"{SVG}text"))


def test_dark_colours_are_for_screens_only(recording: Recording) -> None:
    svg = draw(recording)
    style = svg[svg.index("<style>") : svg.index("</style>")]
    assert "@media screen and (prefers-color-scheme:dark)" in style
    assert style.count("@media") == style.count("@media screen")
    assert 'fill="#fff"' in svg and 'stroke="#000"' in svg  # light without any style sheet


def test_a_normalised_recording_gets_no_millivolts(recording: Recording) -> None:
    normal = Recording(
        recording.signal / recording.signal.std(1, keepdims=True), 500, STANDARD, "normalised", band=(0.5, 40)
    )
    svg = draw(normal)
    assert "2.5 mm/SD (normalised recording: no millivolt scale)" in svg and "mm/mV" not in svg
    assert "recorded 0.5-40 Hz" in svg and "no display filter" not in svg
    assert place(Sheet(normal), "V3", 3000)[1] == pytest.approx(85 - 2.5 * float(normal.lead("V3")[3000]))


def test_missing_leads_are_named_and_derived_ones_drawn(recording: Recording) -> None:
    few = recording.select(["I", "II", "V3"])
    svg = draw(few)
    assert set(traces(svg)) == {"I", "II", "III", "aVR", "aVL", "aVF", "V3", "II-strip"}
    assert svg.count(" not recorded</text>") == 5 and "not recorded: V1, V2, V4, V5, V6" in svg


def test_gaps_lift_the_pen(recording: Recording) -> None:
    signal = recording.signal.copy()
    signal[:, 1000:1100] = np.nan
    signal[6, :] = np.nan
    drawn = traces(draw(replace(recording, signal=signal), layout="12x1"))
    first, second = drawn["II"]
    assert first[-1, 0] == pytest.approx(15 + 999 / 20, abs=0.01) and second[0, 0] == pytest.approx(15 + 1100 / 20)
    assert drawn["V1"] == []


def test_short_and_long_recordings(recording: Recording) -> None:
    short = replace(recording, signal=recording.signal[:, :2000])
    drawn = traces(draw(short))
    assert len(drawn["aVR"]) == 1 and drawn["V1"] == [] and "not recorded" not in draw(short)
    long = replace(recording, signal=np.tile(recording.signal, 3))
    assert "first 10 of 30 s" in draw(long) and traces(draw(long))["V6"][0][-1, 0] == pytest.approx(264.95, abs=0.01)


def test_marks_stand_at_their_times(recording: Recording) -> None:
    svg = draw(recording, layout="12x1", marks={"R <peaks>": [1.0, 99.0], "P": [2.0]})
    r, p = (path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("class") == "ecg-mark")
    assert re.findall(r"M([\d.]+) ", r.get("d") or "") == ["40.00"] * 12
    assert re.findall(r"M([\d.]+) ", p.get("d") or "") == ["65.00"] * 12
    assert r.get("stroke") != p.get("stroke") and r.get("stroke-dasharray") != p.get("stroke-dasharray")
    assert "R &lt;peaks&gt;" in svg
    with pytest.raises(InputError, match="4 kinds of marks"):
        draw(recording, marks={key: [1.0] for key in "abcd"})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"layout": "4x3"}, "layout '4x3' is not known"),
        ({"order": "reverse"}, "order 'reverse' is not known"),
        ({"speed": 0}, "speed 0 is impossible"),
        ({"gain": float("inf")}, "gain inf is impossible"),
    ],
)
def test_impossible_sheets_are_refused(recording: Recording, wrong: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        draw(recording, **wrong)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(
    values=st.lists(st.floats(-6, 6, width=32), min_size=1, max_size=60),
    rate=st.sampled_from([100.0, 257.0, 500.0, 1000.0]),
    layout=st.sampled_from(["3x4", "6x2", "12x1"]),
)
def test_no_signal_is_bent(values: list[float], rate: float, layout: Layout) -> None:
    recording = Recording(np.tile(np.array(values, np.float32), (12, 1)), rate, STANDARD)
    sheet = Sheet(recording, layout)
    (stroke,) = traces(draw(recording, layout=layout))["I"]
    for sample in range(len(values)):
        x, y = place(sheet, "I", sample)
        if len(stroke) == 1:
            assert stroke[0] == pytest.approx([x, y], abs=0.006)
        else:  # where the line is steep, half a step of rounding along x moves it along y
            steep = np.abs(np.diff(stroke[:, 1])).max() / np.diff(stroke[:, 0]).min()
            assert abs(np.interp(x, stroke[:, 0], stroke[:, 1]) - y) < TOLERANCE + 0.011 + 0.006 * steep


def test_a_real_recording_is_drawn_as_it_is(shared_data: Path) -> None:
    recording = read(shared_data / "ptbxl_raw_500hz" / "01023_hr.hea")
    sheet, drawn = Sheet(recording), traces(draw(recording))
    (stroke,) = drawn["V2"]
    peak = 2500 + int(recording.lead("V2")[2500:3750].argmin())
    x, y = place(sheet, "V2", peak)
    assert stroke[:, 1].max() == pytest.approx(y, abs=0.006)  # the deepest S wave is not cut off
    assert stroke[stroke[:, 1].argmax(), 0] == pytest.approx(x, abs=0.06)
