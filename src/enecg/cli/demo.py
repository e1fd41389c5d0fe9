"""The demo: the whole way on generated ECGs, then one real recording, and a report of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from enecg import api
from enecg.cli import output
from enecg.cohorts.manifest import Cohort
from enecg.errors import require
from enecg.evaluation.report.html import Example, write_html
from enecg.files import name_of
from enecg.readers import read
from enecg.simulation import make_cohort

TASKS: Final = "rr_interval,age,sex,potassium,arrhythmia"
FIRST_TEST_FOLD: Final = 9  # of 10: a fifth of the subjects
REAL: Final = "waveform_ecg.dcm"  # a Mortara 12-lead recording among pydicom's test files


def run(
    folder: Path,
    *,
    subjects: int = 500,
    experts: str = "offline",
    recipe: str = "default",
    seed: int = 0,
    say: Callable[[str], object] = print,
) -> Path:
    """Generate a cohort, fit the five tasks, evaluate on held-out subjects, predict a real ECG, write the report.

    Args:
        folder: for all results; it is made if it does not exist.
        subjects: generated; with 150 or more, two rhythms are frequent enough to be learned.
        experts: names or sets.
        recipe: how heads and weights are made.
        seed: of the generator and of the fit.
        say: called with a line before each step.

    Returns:
        The report, an HTML file.
    """
    require("pydicom", "dicom", "the demo's real recording")
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "store"
    say(f"1/5 generating ECGs of {subjects} subjects (computed by a model of the heart, not recorded from people)")
    cohort = Cohort.load(make_cohort(folder / "cohort", subjects, seed))

    say(f"2/5 {len(cohort)} recordings: each expert embeds each of them once")
    api.embed(cohort, experts, store, progress=True, say=say)

    say("3/5 fitting heads and weights for five tasks")
    tested = cohort.table["fold"].to_numpy() >= FIRST_TEST_FOLD
    trained = api.fit(cohort.take(~tested), TASKS, experts, store, recipe=recipe, seed=seed, say=say)
    digest = trained.save(folder / "bundle")

    say("4/5 evaluating the saved bundle on subjects that were held out")
    bundle = api.load(folder / "bundle")
    evaluation = api.evaluate(bundle, cohort.take(tested), store, seed=seed)
    output.write_json(evaluation.document, folder / "results.json")

    say("5/5 predicting a real recording")
    paths = [_real_file(), cohort.path(int(tested.argmax()))]
    shown = [replace(read(path), source=name_of(path)) for path in paths]
    predictions = api.predict(bundle, shown)["predictions"]
    report = folder / "report.html"
    write_html(
        evaluation.document,
        report,
        title="EnECG demo",
        kind_note=f"One bundle ({digest[:12]}), evaluated on generated subjects that it was not trained on.",
        figures=evaluation.figures(),
        examples=[Example.of(one, answer) for one, answer in zip(shown, predictions, strict=True)],
    )
    return report


def _real_file() -> Path:
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file(REAL, download=False)))
