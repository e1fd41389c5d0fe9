"""The demo: the main job from end to end on generated ECGs, then one real recording, and a report of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from enecg.cohort.manifest import Cohort
from enecg.cohort.simulated import make_cohort
from enecg.embed.gather import gather
from enecg.embed.store import Store
from enecg.ensemble import bundle
from enecg.ensemble.answer import answers
from enecg.ensemble.recipe import ExpertInfo
from enecg.errors import require
from enecg.evaluate.report import write_html
from enecg.evaluate.run import evaluate, train
from enecg.evaluate.sections import Example
from enecg.experts import registry
from enecg.readers import read
from enecg.tasks import parse_tasks

TASKS: Final = "rr_interval,age,sex,potassium,arrhythmia"
FIRST_TEST_FOLD: Final = 9  # of 10: a fifth of the subjects
REAL: Final = "waveform_ecg.dcm"  # a Mortara 12-lead recording among pydicom's test files


def run(folder: Path, *, subjects: int = 500, seed: int = 0, say: Callable[[str], object] = print) -> Path:
    """Generate a cohort, fit the five tasks, evaluate on held-out subjects, predict a real ECG, write the report.

    Args:
        folder: for all of it; made when it is not there.
        subjects: generated.
        seed: of the generator and of the fit.
        say: called with a line before each step.

    Returns:
        The report, an HTML file.
    """
    require("pydicom", "dicom", "the demo's real recording")
    folder.mkdir(parents=True, exist_ok=True)
    say(f"1/5 generating ECGs of {subjects} subjects (computed by a model of the heart, not recorded from people)")
    cohort = Cohort.load(make_cohort(folder / "cohort", subjects, seed))

    say(f"2/5 {len(cohort)} recordings: each expert looks at each of them once")
    experts = [registry.create(name) for name in registry.resolve("offline")]
    data = gather(cohort, experts, Store(folder / "store"))
    infos = [ExpertInfo.of(expert) for expert in experts]

    say("3/5 fitting heads and weights for five tasks")
    tested = data.cohort.table["fold"].to_numpy() >= FIRST_TEST_FOLD
    ensemble = train(data.take(~tested), parse_tasks(TASKS), infos, seed=seed)
    digest = bundle.save(ensemble, folder / "bundle")

    say("4/5 evaluating on subjects that were held out")
    evaluation = evaluate(ensemble, data.take(tested), seed=seed)
    text = json.dumps(evaluation.document, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text, "utf-8")

    say("5/5 predicting a real recording with the saved bundle")
    loaded, _ = bundle.load(folder / "bundle")
    real, generated = read(_real_file()), read(data.cohort.path(int(tested.argmax())))
    predicted = answers(loaded, experts, [real, generated])
    report = folder / "report.html"
    write_html(
        evaluation.document,
        report,
        title="EnECG demo",
        kind_note=f"One bundle ({digest[:12]}), evaluated on generated subjects that it was not trained on.",
        figures=evaluation.figures(),
        examples=[Example.of(one, told) for one, told in zip((real, generated), predicted, strict=True)],
    )
    return report


def _real_file() -> Path:
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file(REAL, download=False)))
