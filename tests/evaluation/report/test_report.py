"""The report: self-contained, escaped, complete, accessible in structure, and honest about generated data."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from enecg import NOTICE
from enecg.evaluation.report import wording
from enecg.evaluation.report.figures import TaskFigures, figures
from enecg.evaluation.report.html import SHOWN_SKIPPED, Example, write_html
from enecg.evaluation.report.markdown import write_markdown
from enecg.evaluation.report.wording import GENERATED
from enecg.evaluation.scores import TaskPredictions, result_document, score
from enecg.recording import Recording
from enecg.tasks import Task

N = 60
EVIL = "<script>alert('x')</script>|\"&"
VOID = {"meta", "br"}
TASKS = (
    Task("age", "regression", "age", unit="years", metric="mae"),
    Task("sex", "binary", "sex", classes=("M", "F")),
    Task("rhythm", "multiclass", "rhythm", classes=("SR", "AFIB", EVIL)),
    Task(EVIL, "multilabel", "x", classes=("NORM", "MI")),
)


@dataclass
class Page(HTMLParser):
    """What a page consists of; raises on tags that do not nest."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data.strip("\n")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def sampled(task: Task) -> tuple[np.ndarray, TaskPredictions]:
    rng = np.random.default_rng(len(task.name))
    if task.kind == "regression":
        y = rng.normal(60, 10, (N, 1))
        noisy = [y + noise * rng.normal(size=y.shape) for noise in (3, 5, 9)]
        given = TaskPredictions(noisy[0], {EVIL: noisy[1], "beat": noisy[2]}, {"constant": np.full_like(y, 60)})
        return y, replace(given, low=y - 5, high=y + 5, weights={EVIL: 0.7, "beat": 0.3})
    columns = task.outputs
    y = (
        np.eye(3)[rng.integers(0, 3, N)]
        if task.kind == "multiclass"
        else (rng.random((N, columns)) < 0.4).astype(float)
    )
    p = [np.clip(share * y + (1 - share) * rng.random(y.shape), 0.01, 1) for share in (0.5, 0.3, 0.2)]
    if task.kind == "multiclass":
        p = [part / part.sum(1, keepdims=True) for part in p]
    return y, TaskPredictions(p[0], {EVIL: p[1], "beat": p[2]}, {"mean": p[1]}, weights={EVIL: 0.7, "beat": 0.3})


@pytest.fixture(scope="module")
def parts() -> tuple[dict[str, Any], dict[str, TaskFigures]]:
    subjects = [f"p{i}" for i in range(N)]
    blocks, drawn = {}, {}
    for task in TASKS:
        y, given = sampled(task)
        groups = {"site": [EVIL if i % 2 else "A" for i in range(N)]}
        blocks[task.name] = score(task, y, subjects, given, replicates=50, groups=groups)
        drawn[task.name] = figures(task, y, given)
    skipped = [(f"{EVIL}{i}", "too short" if i < 5 else EVIL) for i in range(SHOWN_SKIPPED + 10)]
    document = result_document(
        blocks,
        n_recordings=1234,
        n_subjects=N,
        skipped=skipped,
        cohort={"name": EVIL, "generated": True, "description": EVIL},
        provenance={"Trained on": EVIL, "Seeds": {"fit": 7}, "Experts": ["a", "b"]},
    )
    return document, drawn


def example(usable: bool = True) -> Example:
    rng = np.random.default_rng(int(usable))
    recording = Recording(rng.normal(0, 0.1, (2, 1000)), 100, ("I", "II"), source=EVIL)
    told = {
        "record": EVIL,
        "usable": usable,
        "quality": []
        if usable
        else [{"code": "flat", "text": f"lead V1 is flat {EVIL}", "leads": ["V1"], "fatal": True}],
        "notes": [f"left out: Resp {EVIL}"],
        "tasks": {
            "age": {"value": 61.23, "low": 49.04, "high": 74.0, "unit": "years", "weights": {"beat": 0.6, EVIL: 0.4}},
            "sex": {"probabilities": {"M": 0.09, "F": 0.91}, "decision": "F", "weights": {"beat": 1.0}},
            "many": {"probabilities": {"NORM": 0.1, "MI": 0.2}, "decision": [], "weights": {}},
        },
    }
    return Example.of(recording, told)


def written(document: dict[str, Any], tmp_path: Path, **options: Any) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    write_html(document, path, **{"title": EVIL, "kind_note": EVIL, **options})
    text, page = path.read_text("utf-8"), Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return text, page


@pytest.fixture
def whole(parts: tuple[dict[str, Any], dict[str, TaskFigures]], tmp_path: Path) -> tuple[str, Page]:
    document, drawn = parts
    return written(document, tmp_path, figures=drawn, examples=[example(), example(usable=False)])


def test_nothing_from_outside_becomes_markup(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert not page.all("script")
    assert "<script" not in text
    assert page.text.count("<script>alert('x')</script>") > 30


def test_needs_nothing_else(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert not [tag for tag, _ in page.tags if tag in {"link", "img", "iframe", "object", "embed", "base", "form"}]
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|@font-face|url\((?!#)|\son\w+=|javascript:", text)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_structure_is_accessible(whole: tuple[str, Page]) -> None:
    _, page = whole
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert max(ids.values()) == 1
    assert {str(a["href"])[1:] for a in page.all("a")} <= set(ids)
    for attributes in (a for _, a in page.tags if "aria-labelledby" in a):
        assert set(str(attributes["aria-labelledby"]).split()) <= set(ids)
    assert len(page.all("caption")) == len(page.all("table")) > 10
    assert all(th.get("scope") in {"col", "row", "rowgroup"} for th in page.all("th"))
    for svg in page.all("svg"):
        assert svg.get("role") == "img" and (svg.get("aria-label") or svg.get("aria-labelledby"))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1


def test_every_number_of_the_ensemble_is_there(
    whole: tuple[str, Page], parts: tuple[dict[str, Any], dict[str, TaskFigures]]
) -> None:
    _, page = whole
    for block in parts[0]["tasks"].values():
        for _, _, scores in wording.predictors(block):
            for metric in set(scores) - {"per_class"}:
                digits = wording.decimals(metric, scores)
                assert wording.number(scores[metric]["value"], digits) in page.text
                assert wording.span(scores[metric], digits) in page.text
        for key, told in block["compare"].items():
            assert f"{told['verdict']} {wording.against(key, told)}: {wording.difference(told, block)}" in page.text
    for title in (
        "ROC",
        "Calibration",
        "Bland-Altman",
        "Predicted and true",
        "Confusion matrix",
        "Weight of each expert",
    ):
        assert title in page.text
    assert "1,234" in page.text and "fit 7" in page.text and "a, b" in page.text


def test_generated_cohort_is_announced(
    parts: tuple[dict[str, Any], dict[str, TaskFigures]], tmp_path: Path, whole: tuple[str, Page]
) -> None:
    document = parts[0]
    assert GENERATED in whole[1].text and GENERATED in write_markdown(document)
    for cohort in ({"name": "PTB-XL", "generated": False}, None):
        real = {**document, "cohort": cohort} if cohort else {k: v for k, v in document.items() if k != "cohort"}
        _, page = written(real, tmp_path)
        assert GENERATED not in page.text and GENERATED not in write_markdown(real)
        assert ("Recordings arereal" if cohort else "Recordings arenot stated") in page.text


def test_notice_stands_wherever_predictions_do(whole: tuple[str, Page]) -> None:
    assert whole[1].text.count(NOTICE) == 2 + 2  # above the results, below, and at both recordings


def test_leakage_is_an_alarm(parts: tuple[dict[str, Any], dict[str, TaskFigures]], tmp_path: Path) -> None:
    clean, page = written(parts[0], tmp_path)
    assert 'class="banner alarm"' not in clean
    assert "No subject and no recording of this evaluation was in the training part." in page.text
    leaking = {**parts[0], "leakage": {"shared_subjects": 3, "shared_recordings": 4}}
    text, page = written(leaking, tmp_path)
    assert 'class="banner alarm"' in text
    assert "3 subjects and 4 recordings of this evaluation are also in the training part" in page.text
    assert "3 subjects and 4 recordings of this evaluation are also in the training part" in write_markdown(leaking)


def test_skipped_are_counted_and_the_first_listed(whole: tuple[str, Page]) -> None:
    _, page = whole
    assert f"First {SHOWN_SKIPPED} of {SHOWN_SKIPPED + 10} by name" in page.text
    assert f"{EVIL}{SHOWN_SKIPPED - 1}: " in page.text and f"{EVIL}{SHOWN_SKIPPED}: " not in page.text
    assert f"{EVIL}55too short5" in page.text  # reason and count, the most frequent first


def test_recording_with_its_predictions(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert text.count('class="ecg"') == 2
    for words in ("61.2 years", "49.0–74.0", "F 91\N{NO-BREAK SPACE}%, M 9\N{NO-BREAK SPACE}%", "manynone", "Usable: "):
        assert words in page.text
    assert "Not usable: do not rely on these predictions." in page.text
    assert f"lead V1 is flat {EVIL}" in page.text
    assert page.text.count(f"left out: Resp {EVIL}") == 2


def test_unknown_numbers_are_dashes(tmp_path: Path) -> None:
    task = TASKS[1]
    y, given = sampled(task)
    block = score(task, np.zeros_like(y), [str(i) for i in range(N)], given, replicates=20, groups={"g": ["a"] * N})
    document = result_document({"sex": block}, n_recordings=N, n_subjects=N)
    text, page = written(document, tmp_path, figures={"sex": figures(task, np.zeros_like(y), given)})
    assert "–" in page.text
    for shown in (page.text, write_markdown(document)):
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b", shown)
    assert "nan" not in "".join(re.findall(r' d="[^"]*"', text))
    assert "No recording was skipped." in page.text


def test_silence_is_told(tmp_path: Path) -> None:
    y, given = sampled(TASKS[0])
    given.ensemble[:4] = np.nan
    given.experts["beat"][:10] = np.nan
    document = result_document(
        {"age": score(TASKS[0], y, [str(i) for i in range(N)], given, replicates=20)}, n_recordings=N, n_subjects=N
    )
    text, page = written(document, tmp_path, figures={"age": figures(TASKS[0], y, given)})
    assert f"{N - 4} recordings of {N - 4} subjects with a label, 4 more without an answer" in page.text
    assert f"beatanswered {N - 10}" in page.text
    assert "nan" not in "".join(re.findall(r' d="[^"]*"', text))


def test_markdown_tables_hold_together(parts: tuple[dict[str, Any], dict[str, TaskFigures]]) -> None:
    text = write_markdown(parts[0])
    tables = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 1 + len(TASKS) + 1
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "<script" not in text
    assert NOTICE in text
    entry = parts[0]["tasks"]["age"]["ensemble"]["mae"]
    assert wording.with_span(entry, wording.decimals("mae", {"mae": entry})) in text


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (8.426, 2, False, "8.43"),
        (-0.5, 1, True, "−0.5"),
        (0.5, 1, True, "+0.5"),
        (-0.0004, 3, True, "0.000"),
        (None, 2, False, "–"),
    ],
)
def test_numbers(value: float | None, digits: int, sign: bool, text: str) -> None:
    assert wording.number(value, digits, sign) == text


def test_decimals_and_spans() -> None:
    assert [wording.decimals("mae", {"mae": {"value": v}}) for v in (0.0123, 0.5, 8.4, 84, 840, 8400)] == [
        3,
        3,
        2,
        1,
        0,
        0,
    ]
    assert wording.decimals("auroc", {"auroc": {"value": 12}}) == 3
    assert wording.span({"low": 7.92, "high": 8.55}, 2) == "7.92–8.55"
    assert wording.span({"low": -1.2, "high": 0.4}, 1) == "−1.2 to 0.4"
    assert wording.span({"low": None, "high": None}, 1) == ""


def test_what_the_ensemble_would_lose_and_how_its_weights_spread(
    parts: tuple[dict[str, Any], dict[str, TaskFigures]], tmp_path: Path
) -> None:
    change = {"value": 0.0123, "low": 0.0051, "high": 0.0234}
    block = {
        **parts[0]["tasks"]["sex"],
        "weights_spread": {EVIL: {"low": 0.41, "high": 0.87}, "beat": {"low": 0.13, "high": 0.59}},
        "removal": {EVIL: {"auroc": change}},
        "never_used": [EVIL],
        "calibration": {when: {"ece": {**change, "value": v}} for when, v in (("before", 0.123), ("after", 0.045))},
        "thresholds": {"rule": f"Youden {EVIL}", "values": {"F": 0.375}},
    }
    document = {**parts[0], "tasks": {"sex": block}}
    text, page = written(document, tmp_path)
    assert "<script" not in text
    for words in ("70 % (41–87)", "30 % (13–59)", "+0.012 (+0.005 to +0.023)", f"No weight here: {EVIL}.", "0.375",
                  "Rule: Youden", "0.123", "0.045"):  # fmt: skip
        assert words in page.text, words
    markdown = write_markdown(document)
    for words in ("beat 0.30 (0.13–0.59)", "AUROC +0.012 (+0.005 to +0.023)", "No weight: ",
                  "Probabilities after calibration: ECE 0.045"):  # fmt: skip
        assert words in markdown, words


def test_the_headline_counts_the_verdicts() -> None:
    def block(best: str, mean: str) -> dict[str, Any]:
        return {"compare": {"best_expert": {"verdict": best}, "mean": {"verdict": mean}}}

    same = "no difference shown"
    lines = wording.headline({"age": block("better", same), "sex": block("worse", same), "x": block("better", same)})
    assert lines == [
        "Against its best expert, the ensemble is better on 2 of 3 tasks (age, x), worse on 1 of 3 tasks (sex).",
        "Against the uniform mean, the ensemble is neither shown to be better nor worse on any of 3 tasks.",
    ]
