"""The report of an evaluation as one HTML file that needs nothing else. Its layout stands in `templates/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from enecg import NOTICE
from enecg.drawing.ecg_paper import draw
from enecg.evaluation.report import wording
from enecg.evaluation.report.figures import TaskFigures
from enecg.evaluation.report.task_charts import task_charts
from enecg.recording import Recording

SHOWN_SKIPPED: Final = 50
_PACKAGE: Final = "enecg.evaluation.report"


@dataclass(frozen=True)
class Example:
    """One recording with its predictions.

    Attributes:
        prediction: an entry of `predictions` in the JSON of predict.
        drawing: SVG of the recording, which enters the page as it is.
    """

    prediction: Mapping[str, Any]
    drawing: Markup

    @classmethod
    def of(cls, recording: Recording, prediction: Mapping[str, Any]) -> Example:
        """Return the recording drawn on ECG paper, with its predictions."""
        return cls(prediction, Markup(draw(recording, title=str(prediction["record"]))))

    @property
    def remarks(self) -> list[str]:
        """What the quality check found, and what was left out of the file."""
        return [*(finding["text"] for finding in self.prediction["quality"]), *self.prediction["notes"]]


def write_html(
    document: Mapping[str, Any],
    path: Path,
    *,
    title: str,
    kind_note: str,
    figures: Mapping[str, TaskFigures] | None = None,
    examples: Sequence[Example] = (),
) -> None:
    """Write the report of an evaluation as one HTML file.

    Args:
        document: of `result_document`.
        path: of the file.
        title: of the page.
        kind_note: a sentence that says what kind of evaluation this is, such as "5-fold cross-validation by subject".
        figures: task -> data behind its charts.
        examples: recordings to be shown with their predictions.
    """
    drawn = figures or {}
    drawings = {name: task_charts(name, block, drawn.get(name)) for name, block in document["tasks"].items()}
    made = document.get("provenance", {})
    text = render(
        "evaluation.html.j2",
        document=document, title=title, kind_note=kind_note, drawings=drawings, examples=examples, made=made,
    )  # fmt: skip
    path.write_text(text, "utf-8")


def render(template: str, **values: Any) -> str:
    """Return a page. Every value is escaped, unless it is `Markup`.

    Args:
        template: name of a file in `templates/`.
        values: what `page.html.j2` needs (`document`, `title`, `kind_note`, `made`), and what the template itself does.
    """
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """Return the templates of reports: escaping is on, and a name that is not given is an error."""
    found = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    css = files(_PACKAGE).joinpath("report.css").read_text("utf-8")
    found.globals.update(w=wording, notice=NOTICE, css=Markup(css), shown_skipped=SHOWN_SKIPPED)
    return found
