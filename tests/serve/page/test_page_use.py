"""The page in use: every hospital format, refusals, many recordings, comparison, downloads, one sheet of paper."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="Playwright is not installed (extra dev)")

from browsing import Make, choose, csv_file, go, open_example, open_files, paper, shown
from playwright.sync_api import Page, expect

from enecg import NOTICE
from enecg.readers import read
from enecg.simulation import simulate

pytestmark = pytest.mark.browser
FORMATS = [
    ("philips_sierra_103.xml",),
    ("ge_muse_909.xml",),
    ("ge_muse_909.dcm",),
    ("cpsc_a0001.edf",),
    ("A0001.hea", "A0001.mat"),
]
A4 = (841.9, 595.3)  # points, landscape


@pytest.mark.parametrize("names", FORMATS, ids=lambda names: names[0])
def test_every_hospital_format_is_drawn_and_answered(page: Page, shared_data: Path, names: tuple[str, ...]) -> None:
    open_files(page, *(shared_data / "formats" / name for name in names))
    assert page.locator("h1").inner_text() == names[0]
    cards = page.locator(".answer")
    assert [card.get_attribute("data-task") for card in cards.all()] == [
        "rr_interval", "age", "sex", "potassium", "arrhythmia", "findings",
    ]  # fmt: skip
    assert all("no answer" not in card.inner_text() for card in cards.all())
    recording = read(shared_data / "formats" / names[0])
    path = paper(page).locator('[data-lead="V2"]').get_attribute("d") or ""
    x, y = (float(number) for number in re.findall(r"-?[\d.]+", path)[:2])  # V2 begins at 5 s, in the second row
    first = float(recording.lead("V2")[round(5 * recording.rate)])
    assert (x, y) == pytest.approx((15 + 125, 55 - 10 * first), abs=0.02)
    facts = page.locator(".facts").inner_text()
    assert f"{len(recording.leads)} leads" in facts and f"{recording.rate:g} Hz" in facts
    if recording.subject.age is not None:
        assert f"{recording.subject.age:g} years" in facts


def test_a_file_that_says_no_unit_is_refused_until_the_user_says_it(page: Page, shared_data: Path) -> None:
    open_files(page, shared_data / "formats" / "twelve_lead_500hz_mv.csv")
    refusal = page.get_by_role("alert").filter(has_text="could not be read")
    expect(refusal).to_contain_text("no unit is stated")
    assert page.locator("svg.ecg").count() == 0
    page.get_by_label("Sampling rate, Hz").fill("500")
    page.get_by_label("Amplitude unit").select_option("mV")
    page.get_by_role("button", name="Read again").click()
    page.locator("#view svg.ecg").wait_for()
    assert page.locator(".answer").count() == 6


def test_what_was_left_out_of_a_file_is_shown_printed_and_listed(page: Page) -> None:
    made = simulate(4).recording
    rows = [",".join([*made.leads, "Resp"]), *(",".join([*map(str, row), "0"]) for row in made.signal.T)]
    open_files(page, csv_file("breath.csv", "\n".join(["# rate: 500", "# unit: mV", *rows])))  # type: ignore[arg-type]
    expect(page.get_by_role("list", name="Left out of the file")).to_have_text("Left out: Resp (no ECG leads).")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".print-footer")).to_contain_text("Notes: left out: Resp (no ECG leads).")
    page.emulate_media(media="screen")
    go(page, "Table")
    expect(page.get_by_role("row").filter(has_text="breath.csv")).to_contain_text("left out: Resp (no ECG leads)")


def test_a_recording_that_must_not_be_interpreted_is_drawn_without_answers(page: Page) -> None:
    open_example(page, "Too short")
    expect(page.get_by_role("alert")).to_contain_text("No answers for this recording")
    expect(page.get_by_role("alert")).to_contain_text("too short to judge a rhythm")
    expect(page.get_by_role("alert")).to_contain_text("Record at least 5 seconds")
    assert paper(page).locator('[data-lead="II"]').count() == 1
    assert page.locator(".answer").count() == 0


def test_answers_say_value_interval_sentence_and_whom_they_rest_on(page: Page, site: str, fetched: str) -> None:
    open_example(page)
    with page.expect_download() as told:
        page.get_by_role("button", name="JSON").click()
    document = json.loads(Path(told.value.path()).read_text())
    assert document["notice"] == NOTICE and told.value.suggested_filename == "sinus.enecg.json"
    (answer,) = document["predictions"]
    assert "signal" not in answer
    age, card = answer["tasks"]["age"], page.locator('[data-task="age"]')
    expect(card).to_contain_text(f"{age['value']:.0f} years")
    expect(card).to_contain_text(f"{age['low']:.0f} to {age['high']:.0f}")
    expect(card.locator(".sentence")).to_contain_text("The ECG looks like that of a person of")
    best = max(age["weights"], key=lambda name: age["weights"][name])
    expect(card.locator(".weights-bar")).to_contain_text(f"Largest weights: {best} {100 * age['weights'][best]:.0f} %")
    sex = answer["tasks"]["sex"]
    expect(page.locator('[data-task="sex"] .value')).to_contain_text({"F": "female", "M": "male"}[sex["decision"]])
    row = page.locator(".trust tbody tr").filter(has=page.get_by_role("rowheader", name=best))
    expect(row.get_by_role("cell").nth(1)).to_contain_text(f"{100 * age['weights'][best]:.0f} %")
    expect(page.locator(".facts")).to_contain_text("generated by a simulator, no patient")


def test_downloads_of_fhir_and_samples(page: Page, tmp_path: Path, fetched: str) -> None:
    open_example(page)
    with page.expect_download() as told:
        page.get_by_role("button", name="FHIR").click()
    assert json.loads(Path(told.value.path()).read_text())["resourceType"] == "Bundle"
    with page.expect_download() as told:
        page.get_by_role("button", name="Samples").click()
    told.value.save_as(tmp_path / "again.csv")
    (tmp_path / "first.csv").write_text(fetched)
    first, again = read(tmp_path / "first.csv"), read(tmp_path / "again.csv")
    assert again.leads == first.leads and again.rate == first.rate
    assert abs(again.signal - first.signal).max() <= 0.00101  # whole microvolts


def test_where_an_answer_comes_from_can_be_shaded_and_switched_off(page: Page) -> None:
    open_example(page)
    page.get_by_role("button", name="Show it").click()
    box = page.get_by_label("Shade on the paper")
    box.wait_for()
    box.select_option("age")
    cells = paper(page).locator(".ecg-heat rect")
    assert cells.count() == 12 * 3 + 10  # 2.5 s of each lead touch three of the seconds; the rhythm strip has ten
    expect(page.locator(".viewer .legend")).to_contain_text("how much Age changes when that stretch of that lead")
    expect(page.locator(".explain caption")).to_have_text("Age: strongest places")
    strongest = max(
        float(value) for value in cells.evaluate_all("all => all.map((cell) => cell.getAttribute('fill-opacity'))")
    )
    assert strongest <= 0.5  # the trace stays darker
    box.select_option("")
    assert cells.count() == 0 and page.locator(".viewer .legend").inner_text() == ""


def test_a_folder_becomes_a_table_that_sorts_filters_and_opens(page: Page, shared_data: Path, fetched: str) -> None:
    formats = shared_data / "formats"
    go(page, "Open")
    page.get_by_label("Choose files").set_input_files([*formats.iterdir()])
    rows = page.locator(".records tbody tr")
    expect(page.locator(".busy")).to_have_count(0)
    names = [name.inner_text() for name in rows.get_by_role("rowheader").all()]
    assert names == sorted(names, key=str.lower) and len(names) == 7  # A0001.mat belongs to its header
    expect(page.get_by_text("7 recordings shown; 5 answered, 2 not readable.")).to_be_visible()
    page.get_by_role("button", name="Age").click()
    ages = [int(text.split()[0]) for text in rows.locator("td:nth-of-type(3)").all_inner_texts() if text.strip()]
    assert len(ages) == 5 and ages == sorted(ages)
    page.get_by_role("button", name="Age").click()
    assert page.get_by_role("columnheader", name="Age").get_attribute("aria-sort") == "descending"
    again = [int(text.split()[0]) for text in rows.locator("td:nth-of-type(3)").all_inner_texts() if text.strip()]
    assert again == ages[::-1]
    page.get_by_label("State").select_option("unreadable")
    expect(rows).to_have_count(2)
    page.get_by_label("State").select_option("")
    page.get_by_label("Filter").fill("muse")
    expect(rows).to_have_count(2)
    with page.expect_download() as told:
        page.get_by_role("button", name="Table as CSV").click()
    assert NOTICE in Path(told.value.path()).read_text(encoding="utf-8-sig")
    page.get_by_role("button", name="ge_muse_909.dcm").click()
    shown(page)
    assert page.locator("h1").inner_text() == "ge_muse_909.dcm"


def test_a_folder_that_was_stopped_goes_on_where_it_was(page: Page, fetched: str) -> None:
    held = []
    page.route("**/v1/jobs", lambda route: held.append(route))  # never answered
    go(page, "Open")
    page.get_by_label("Choose files").set_input_files([csv_file(f"{name}.csv", fetched) for name in "ab"])  # type: ignore[arg-type]
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("2 recordings shown; 2 not answered yet.")).to_be_visible()
    page.unroute("**/v1/jobs")
    page.get_by_role("button", name="Answer the rest").click()
    expect(page.get_by_text("2 recordings shown; 2 answered.")).to_be_visible()
    assert len(held) == 1


def test_two_recordings_are_compared(page: Page) -> None:
    open_example(page)
    open_example(page, "Left bundle branch block")
    go(page, "Compare")
    expect(page.locator("svg.ecg")).to_have_count(2)
    expect(page.locator(".beat")).to_have_count(12)
    row = page.locator(".changes tr").filter(has=page.get_by_role("rowheader", name="RR interval", exact=True))
    first, second, change = (text for text in row.get_by_role("cell").all_inner_texts())
    values = [int(text.split("\u00a0")[0]) for text in (first, second)]
    assert int(change.split()[0].replace("−", "-").replace("+", "")) == pytest.approx(values[1] - values[0], abs=1)
    assert "overlap" in change or "apart" in change
    choose(page, Layout="12x1")
    assert all("12x1" in text for text in page.locator("svg.ecg desc").all_text_contents())


@pytest.mark.parametrize(("layout", "speed"), [("3x4", "25"), ("6x2", "25"), ("12x1", "25"), ("3x4", "50")])
def test_a_recording_prints_on_one_page_at_true_scale(page: Page, layout: str, speed: str) -> None:
    open_example(page)
    choose(page, Layout=layout, Speed=speed)
    page.get_by_role("button", name="+ Time").click()
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) == 1
    box = re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert box and (float(box[1]), float(box[2])) == pytest.approx(A4, abs=0.5)
    page.emulate_media(media="print")
    sheet = page.locator("#print")
    width, height = sheet.locator("svg.ecg").evaluate(
        "svg => [svg.getBoundingClientRect().width, svg.viewBox.baseVal.width]"
    )
    assert width / height == pytest.approx(96 / 25.4, rel=1e-4)  # CSS millimetres, which are true on paper
    assert sheet.evaluate("node => node.scrollHeight <= node.clientHeight && node.scrollWidth <= node.clientWidth")
    answers, footer = (sheet.locator(part).bounding_box() for part in (".print-answers", ".print-footer"))
    assert answers and footer and answers["y"] + answers["height"] <= footer["y"]
    text = sheet.inner_text()
    assert NOTICE in text and "unconfirmed" in text
    assert all(name in text for name in ("RR interval", "Age", "Sex", "Potassium", "Arrhythmia"))
    scale = sheet.locator(".ecg-text").text_content() or ""
    assert ("5 s a page at this speed" in scale) == (speed == "50")
    assert sheet.locator(".calliper-text").text_content()


def test_a_refusal_prints_as_one(page: Page) -> None:
    open_example(page, "Too short")
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(prefer_css_page_size=True))) == 1
    page.emulate_media(media="print")
    assert "No answers: 3.0 s are too short" in page.locator("#print").inner_text()


def test_names_of_files_are_text_and_never_markup(page: Page, fetched: str) -> None:
    evil = "<img src=x onerror=alert(1)>.csv"
    open_files(page, csv_file(evil, fetched))
    assert page.locator("h1").inner_text() == evil
    assert page.locator("#view img").count() == 0


def test_a_token_is_asked_for_and_sent(new_page: Make, fetched: str) -> None:
    page = new_page()
    sent: list[str] = []

    def guard(route, request):  # type: ignore[no-untyped-def]
        sent.append(request.headers.get("authorization", ""))
        if sent[-1] == "Bearer right":
            route.continue_()
        else:
            route.fulfill(status=401, json={"status": 401, "code": "unauthorised", "detail": "a token is needed"})

    page.route("**/v1/predict*", guard)
    page.get_by_role("button", name="Open Sinus rhythm").click()
    for token in ("wrong", "right"):
        page.get_by_role("dialog").get_by_label("Token").fill(token)
        page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    shown(page)
    assert sent == ["", "Bearer wrong", "Bearer right"]
    assert "right" not in page.url and page.evaluate("Object.keys(localStorage).every((key) => !key.includes('token'))")


def test_a_busy_service_is_waited_for_and_a_lost_one_is_said(page: Page) -> None:
    calls: list[int] = []

    def busy(route):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 1:
            route.fulfill(
                status=429, headers={"Retry-After": "1"}, json={"status": 429, "code": "busy", "detail": "busy"}
            )
        else:
            route.continue_()

    page.route("**/v1/predict*", busy)
    open_example(page)
    assert len(calls) == 2
    page.unroute("**/v1/predict*")
    page.route(
        "**/v1/predict*",
        lambda route: route.fulfill(status=503, json={"code": "timeout", "detail": "It took too long."}),
    )
    go(page, "Open")
    page.get_by_role("button", name="Open Atrial fibrillation").click()
    expect(page.locator("#problem")).to_contain_text("It took too long.")
    expect(page.locator("h1")).to_have_text("Open an ECG")
