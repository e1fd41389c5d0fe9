"""The report of an evaluation: one HTML file that needs nothing else, or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from enecg import NOTICE
from enecg.documents import LeakageCounts
from enecg.evaluation.report import wording
from enecg.evaluation.report.figures import TaskFigures
from enecg.evaluation.report.markup import Html, html, join
from enecg.evaluation.report.sections import Example, anchor, recording_section, task_section, verdict
from enecg.evaluation.report.tables import cell, column, table
from enecg.evaluation.report.wording import METRIC_NAMES, Block

GENERATED: Final = (
    "These ECGs were computed by a model of the heart, not recorded from people. "
    "The numbers show that the program works; they say nothing about patients."
)
SHOWN_SKIPPED: Final = 50
_COLUMNS: Final = ("Ensemble", "Best expert", "Uniform mean")


def write_html(
    document: Mapping[str, Any],
    path: Path,
    *,
    title: str,
    kind_note: str,
    figures: Mapping[str, TaskFigures] | None = None,
    examples: Sequence[Example] = (),
) -> None:
    """Write the report as one HTML file.

    Args:
        document: of `result_document`.
        path: of the file.
        title: of the page.
        kind_note: a sentence that says what kind of evaluation this is, such as "5-fold cross-validation by subject".
        figures: task -> data behind its charts.
        examples: recordings to be shown with their predictions.
    """
    drawn = figures or {}
    tasks = document["tasks"]
    sections = [
        _summary(tasks),
        *(task_section(i, name, tasks[name], drawn.get(name)) for i, name in enumerate(tasks)),
        *(recording_section(i, example) for i, example in enumerate(examples)),
        skipped_section(document),
        facts("How it was made", document.get("provenance", {})),
        facts("How to read this", wording.GLOSSARY),
    ]
    path.write_text(page(title, masthead(document, title, kind_note), sections), "utf-8")


def page(title: str, head: Html, sections: Sequence[Html]) -> Html:
    """A whole page: no script, no network, no font of its own; light, dark and for print."""
    return html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        '<style>{css}</style></head>\n<body><a class="skip" href="#results">Skip to the results</a>'
        "{head}\n<main>{sections}</main>\n<footer><p>{notice}</p></footer></body></html>\n",
        title=title,
        css=Html(files("enecg.evaluation.report").joinpath("report.css").read_text("utf-8")),
        head=head,
        sections=join(sections, "\n"),
        notice=NOTICE,
    )


def masthead(document: Mapping[str, Any], title: str, kind_note: str) -> Html:
    """Title, notice and main facts; what must be known before any number is read."""
    cohort = document.get("cohort", {})
    counts = {
        "Recordings": f"{document['n_recordings']:,}",
        "Subjects": f"{document['n_subjects']:,}",
        "Tasks": str(len(document["tasks"])),
        "Skipped": f"{len(document['skipped']):,}",
        "Recordings are": {True: "generated", False: "real"}.get(cohort.get("generated"), "not stated"),
        "Cohort": cohort.get("name", "not stated"),
    }
    boxes = [
        html("<div><dt>{name}</dt><dd>{value}</dd></div>", name=name, value=value) for name, value in counts.items()
    ]
    banners = []
    if cohort.get("generated"):
        banners.append(_banner("generated", "Generated cohort: no real patients.", GENERATED))
    if (leakage := document["leakage"])["shared_subjects"] or leakage["shared_recordings"]:
        banners.append(_banner("alarm", "Leakage: these are data of the training part.", leakage_words(leakage)))
    links = [
        html('<li><a href="#{id}">{name}</a></li>', id=anchor(i), name=name) for i, name in enumerate(document["tasks"])
    ]
    return html(
        '<header class="masthead"><p class="eyebrow">EnECG · evaluation report</p><h1>{title}</h1>'
        '<p class="lede">{kind_note}</p>{banners}<p class="notice">{notice}</p><dl class="facts">{facts}</dl>'
        '{described}<nav aria-label="Tasks"><ul>{links}</ul></nav></header>',
        title=title, kind_note=kind_note, banners=join(banners), notice=NOTICE, facts=join(boxes),
        described=html("<p>{words}</p>", words=cohort["description"]) if "description" in cohort else "",
        links=join(links),
    )  # fmt: skip


def _banner(style: str, strong: str, words: str) -> Html:
    return html(
        '<div class="banner {style}" role="note"><strong>{strong}</strong><p>{words}</p></div>',
        style=style, strong=strong, words=words,
    )  # fmt: skip


def leakage_words(leakage: LeakageCounts) -> str:
    """Return what the leakage check found, in sentences."""
    subjects, recordings = leakage["shared_subjects"], leakage["shared_recordings"]
    if subjects or recordings:
        return (
            f"{subjects or 0:,} subjects and {recordings:,} recordings of this evaluation are also in the training "
            "part. Its numbers are too good."
        )
    if subjects is None:
        return (
            "No recording of this evaluation was in the training part. Subjects could not be compared: the bundle "
            "was fitted with another subject key (ENECG_SUBJECT_KEY)."
        )
    return "No subject and no recording of this evaluation was in the training part."


def _summary(tasks: Mapping[str, Block]) -> Html:
    head = [column("Task"), column("n", "n"), column("Metric"), *(column(words, "n") for words in _COLUMNS)]
    head.append(column("Verdict on the ensemble"))
    rows = []
    for i, (name, block) in enumerate(tasks.items()):
        told = [cell(entry, digits) for entry, digits in _columns(block)]
        unit = wording.unit_of(block["metric"], block)
        rows.append(
            html(
                '<tr><th scope="row"><a href="#{id}">{name}</a></th><td class="n">{n:,}</td><td>{metric}</td>{told}'
                '<td class="words">{verdicts}</td></tr>',
                id=anchor(i),
                name=name,
                n=block["n"],
                told=join(told),
                metric=METRIC_NAMES[block["metric"]] + (f", {unit}" if unit else ""),
                verdicts=_verdicts(block),
            )
        )
    body = html("<tbody>{rows}</tbody>", rows=join(rows))
    glance = [html("<li>{line}</li>", line=line) for line in wording.headline(tasks)]
    return html(
        '<section id="results" aria-labelledby="results-h"><h2 id="results-h">Results</h2>'
        '<ul class="glance">{glance}</ul>'
        "<p>Each task by its main metric; small: 95 % intervals.</p>{table}</section>",
        glance=join(glance),
        table=table("Ensemble, best expert and uniform mean", head, [body]),
    )


def _columns(block: Block) -> list[tuple[Mapping[str, Any], int]]:
    """The main metric of the ensemble, its best expert and the uniform mean, each with its number of decimals."""
    metric, best = block["metric"], block["compare"].get("best_expert", {}).get("name")
    scores = (block["ensemble"], block["experts"].get(best, {}), block["baselines"].get("mean", {}))
    return [(found.get(metric, wording.UNKNOWN), wording.decimals(metric, found)) for found in scores]


def _verdicts(block: Block) -> Html:
    compared = {key: block["compare"][key] for key in ("best_expert", "mean") if key in block["compare"]}
    return join(
        html("<div>{label} {whom}</div>", label=verdict(told["verdict"]), whom=wording.against(key, told))
        for key, told in compared.items()
    )


def skipped_section(document: Mapping[str, Any]) -> Html:
    """Leakage check, and the recordings that were skipped: counted by reason, the first ones by name."""
    skipped = document["skipped"]
    parts = [html("<p>Leakage check: {words}</p>", words=leakage_words(document["leakage"]))]
    if not skipped:
        parts.append(html("<p>No recording was skipped.</p>"))
    else:
        counted = [
            html('<tr><th scope="row">{reason}</th><td class="n">{n:,}</td></tr>', reason=reason, n=count)
            for reason, count in wording.reasons(skipped)[:SHOWN_SKIPPED]
        ]
        body = html("<tbody>{rows}</tbody>", rows=join(counted))
        parts.append(table("Skipped recordings by reason", [column("Reason"), column("Recordings", "n")], [body]))
        named = [
            html("<li>{record}: {reason}</li>", record=entry["record"], reason=entry["reason"])
            for entry in skipped[:SHOWN_SKIPPED]
        ]
        words = f"First {SHOWN_SKIPPED} of {len(skipped):,} by name" if len(skipped) > SHOWN_SKIPPED else "By name"
        parts.append(
            html("<details><summary>{words}</summary><ul>{named}</ul></details>", words=words, named=join(named))
        )
    return html(
        '<section aria-labelledby="data-h"><h2 id="data-h">Leakage and skipped recordings</h2>{parts}</section>',
        parts=join(parts),
    )


def facts(heading: str, told: Mapping[str, Any]) -> Html:
    """A section of names and what there is to say of each; nothing when there is none."""
    if not told:
        return html("")
    lines = join(
        html("<dt>{name}</dt><dd>{value}</dd>", name=name, value=wording.plain(value)) for name, value in told.items()
    )
    return html('<section><h2>{h}</h2><dl class="plain">{lines}</dl></section>', h=heading, lines=lines)


def write_markdown(document: Mapping[str, Any]) -> str:
    """The results as Markdown: summary, and per task every predictor's metrics and the comparisons."""
    cohort = document.get("cohort", {})
    lines = []
    if cohort.get("generated"):
        lines += [f"> **Generated cohort: no real patients.** {GENERATED}", ""]
    where = f" ({_escaped(cohort['name'])})" if "name" in cohort else ""
    lines.append(f"{document['n_recordings']:,} recordings of {document['n_subjects']:,} subjects{where}.")
    lines += [leakage_words(document["leakage"]), f"**{NOTICE}**", ""]
    lines += [*(f"- {_escaped(line)}" for line in wording.headline(document["tasks"])), ""]
    rows = []
    for name, block in document["tasks"].items():
        unit = wording.unit_of(block["metric"], block)
        told = [wording.with_span(entry, digits) for entry, digits in _columns(block)]
        best = block["compare"].get("best_expert", {"verdict": "–"})["verdict"]
        rows.append([name, f"{block['n']:,}", f"{METRIC_NAMES[block['metric']]} {unit}".rstrip(), *told, best])
    lines += rows_of_markdown(["Task", "n", "Metric", *_COLUMNS, "Ensemble against best expert"], rows)
    for name, block in document["tasks"].items():
        metrics = wording.metrics_of(block)
        lines += ["", f"### {_escaped(name)}", ""]
        lines += rows_of_markdown(
            ["Predictor", *(f"{METRIC_NAMES[m]} {wording.unit_of(m, block)}".rstrip() for m in metrics)],
            [
                [
                    wording.name_of(part, who),
                    *(
                        wording.with_span(scores.get(m, wording.UNKNOWN), wording.decimals(m, block["ensemble"]))
                        for m in metrics
                    ),
                ]
                for part, who, scores in wording.predictors(block)
            ],
        )
        lines.append("")
        for key, told in block["compare"].items():
            words = f"{told['verdict'].capitalize()} {wording.against(key, told)}: {wording.difference(told, block)}"
            lines.append(f"- {_escaped(words)}")
        lines += [f"- {_escaped(line)}" for line in wording.about_weights(block)]
    if document["skipped"]:
        lines += ["", f"Skipped recordings: {len(document['skipped']):,}", ""]
        counted = [[reason, f"{count:,}"] for reason, count in wording.reasons(document["skipped"])]
        lines += rows_of_markdown(["Reason", "Recordings"], counted)
    return "\n".join(lines) + "\n"


def rows_of_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, line by line."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]


def _escaped(text: str) -> str:
    """Text that cannot break out of a table's cell, nor become markup."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
