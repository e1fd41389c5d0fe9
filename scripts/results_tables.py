"""Write the tables of README.md and docs/results.md anew from results.

    python scripts/results_tables.py FOLDER

FOLDER holds what the commands in docs/results.md write with --json: cv.json (cross-validation), cvb.json (with the
expert beat-cnn), seed1.json and seed2.json (with other seeds), f9.json (fold 9), ludb.json, chap.json (Chapman,
Ningbo), cpsc.json (CPSC 2018, CPSC extra, PTB), raw.json (PTB-XL in mV), budget.json and degraded.json (of the
benchmarks of these names). A table is found by its first row; the text around it is left as it is, so read it again.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TITLES: Final = {
    "rr_interval": "RR interval, MAE ms",
    "age": "age, MAE years",
    "sex": "sex, AUROC",
    "superclass": "superclass, macro AUROC",
    "arrhythmia": "arrhythmia, macro AUROC",
}
DIGITS: Final = {"rr_interval": 1, "age": 2}
BASELINES: Final = {
    "mean": "uniform mean",
    "best_on_validation": "best on validation",
    "stacking": "stacking",
    "concat": "concatenation",
    "random": "untrained encoder",
    "constant": "constant",
}
RIVALS: Final = {
    "best_expert": "best expert",
    "mean": "uniform mean",
    "stacking": "stacking",
    "concat": "concatenation",
}
OTHERS: Final = {"ludb": "LUDB", "chap": "Chapman, Ningbo", "cpsc": "CPSC, PTB", "raw": "PTB-XL in mV"}
HEADS: Final = {"good": "heads of good recordings", "mixed": "heads of the mix"}
VIEWS: Final = ("quality", "rhythm", "outputs", "rocket", "tiny", "lead-ii")
NOT_OFFERED: Final = ("convolution", "convolution, shared", "quality, shared", "rhythm, shared")
Block = dict[str, Any]  # one task of a result


def main(folder: Path) -> None:
    """Replace every table in both files."""
    results = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    cv, cvb, f9 = results["cv"]["tasks"], results["cvb"]["tasks"], results["f9"]["tasks"]
    others = {title: results[name]["tasks"] for name, title in OTHERS.items()}
    quality = {
        "5-fold cross-validation, PTB-XL folds 1-9": cv,
        "fitted on folds 1-8: fold 9": f9,
        "LUDB, never seen": others["LUDB"],
    }
    sources = {
        "Chapman, Ningbo": others["Chapman, Ningbo"],
        "CPSC 2018, CPSC extra, PTB": others["CPSC, PTB"],
        "PTB-XL at 500 Hz in mV": others["PTB-XL in mV"],
    }
    page = ROOT / "docs" / "results.md"
    for path, tables in {
        ROOT / "README.md": [_quality(quality)],
        page: [
            _quality(quality), _quality(sources), _everyone(cv), _rivals(cv), _removal(cv), _calibration(cv),
            _with_network(cv, cvb), _elsewhere(others), _seeds([cv, *(results[f"seed{i}"]["tasks"] for i in (1, 2))]),
            _budgets(results["budget"]["figures"]["versions"]),
            *(_gates(results["degraded"]["figures"][f"{heads} heads"], title) for heads, title in HEADS.items()),
            _other_gates(results["degraded"]["figures"]["good heads"]),
        ],
    }.items():  # fmt: skip
        text = path.read_text(encoding="utf-8")
        for table in tables:
            text = _replaced(text, table)
        path.write_text(text, encoding="utf-8")
    print("Per class of `arrhythmia` in cross-validation, AUROC:", _classes(cv["arrhythmia"]))
    five = [cv["arrhythmia"]["ensemble"]["per_class"][name] for name in ("SR", "AFIB", "STACH", "SBRAD", "SARRH")]
    print(f"Mean of SR, AFIB, STACH, SBRAD and SARRH: {sum(_auroc(each)['value'] for each in five) / 5:.3f}")
    print("Coverage of the 90 % intervals:", *(f"{t} {cv[t]['ensemble']['coverage_90']['value']:.3f}" for t in DIGITS))
    for title in ("LUDB", "Chapman, Ningbo"):
        print(f"{title}:", _classes(others[title]["arrhythmia"], interval=True))


def _quality(columns: dict[str, dict[str, Block]]) -> list[str]:
    rows = []
    for task, title in TITLES.items():
        rows.append([title, *(_metric(task, tasks.get(task)) for tasks in columns.values())])
    rows.append(["atrial fibrillation, AUROC", *(_fibrillation(tasks["arrhythmia"]) for tasks in columns.values())])
    return _table(["task", *columns], rows)


def _everyone(tasks: dict[str, Block]) -> list[str]:
    experts = list(tasks["age"]["experts"])
    rows = []
    for task, title in TITLES.items():
        block = tasks[task]
        values = [block["experts"].get(name) for name in experts] + [block["baselines"].get(name) for name in BASELINES]
        told = ["–" if each is None else _number(task, each[block["metric"]]["value"]) for each in values]
        rows.append([title, f"**{_number(task, block['ensemble'][block['metric']]['value'])}**", *told])
    return _table(["task", "ensemble", *experts, *BASELINES.values()], rows)


def _rivals(tasks: dict[str, Block]) -> list[str]:
    rows = [[title, *(_versus(task, tasks[task], rival) for rival in RIVALS)] for task, title in TITLES.items()]
    return _table(["task", *(f"minus {name}" for name in RIVALS.values())], rows)


def _removal(tasks: dict[str, Block]) -> list[str]:
    experts = list(tasks["age"]["removal"])
    rows = []
    for task, title in TITLES.items():
        block = tasks[task]
        lost = [_change(task, block["removal"][name][block["metric"]]) for name in experts]
        rows.append(
            [
                title,
                *lost,
                ", ".join(f"{name} {round(weight, 2) + 0.0:.2f}" for name, weight in block["weights"].items()),
            ]
        )
    return _table(["task", *(f"without {name}" for name in experts), "weights"], rows)


def _calibration(tasks: dict[str, Block]) -> list[str]:
    rows = []
    for task in ("sex", "superclass", "arrhythmia"):
        told = tasks[task]["calibration"]
        rows.append(
            [task, *(_interval(told[when][name], 4) for name in ("ece", "brier") for when in ("before", "after"))]
        )
    return _table(["task", "ECE before", "ECE after", "Brier before", "Brier after"], rows)


def _with_network(plain: dict[str, Block], tasks: dict[str, Block]) -> list[str]:
    rows = []
    for task, title in TITLES.items():
        metric = tasks[task]["metric"]
        rows.append([
            title, _number(task, plain[task]["ensemble"][metric]["value"]),
            _interval(tasks[task]["ensemble"][metric], DIGITS.get(task, 3)),
            _versus(task, tasks[task], "best_expert"), _versus(task, tasks[task], "stacking"),
        ])  # fmt: skip
    return _table(["task", "`offline`", "`offline,beat-cnn`", "minus best expert", "minus stacking"], rows)


def _elsewhere(results: dict[str, dict[str, Block]]) -> list[str]:
    rows = []
    for where, tasks in results.items():
        for task, title in TITLES.items():
            if task in tasks:
                best = tasks[task]["compare"]["best_expert"]["name"]
                rows.append([where, title, f"{_versus(task, tasks[task], 'best_expert')} ({best})"])
    return _table(["recordings", "task", "ensemble minus best expert"], rows)


def _seeds(results: Sequence[dict[str, Block]]) -> list[str]:
    rows = []
    for task, title in TITLES.items():
        blocks = [tasks[task] for tasks in results]
        values = [block["ensemble"][block["metric"]]["value"] for block in blocks]
        digits = DIGITS.get(task, 3) + 1
        spread = f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
        versus = [
            ", ".join(block["compare"][rival]["verdict"].replace("no difference shown", "–") for block in blocks)
            for rival in RIVALS
        ]
        rows.append([title, *(f"{value:.{digits}f}" for value in values), spread, *versus])
    head = ["task", *(f"seed {i}" for i in range(len(results))), "mean ± deviation"]
    return _table([*head, *(f"against {name}" for name in RIVALS.values())], rows)


def _budgets(versions: dict[str, Any]) -> list[str]:
    names = ("age", "sex", "superclass", "arrhythmia")
    rows = []
    for label, version in versions.items():
        told = []
        for task in names:
            own = version["tasks"][task]["own"]
            value = _number(task, own["value"]["value"])
            if label != "whole":
                lost = 100 * version["tasks"][task]["relative_loss"]
                value += f" ({_change(task, own['minus whole'])}, {lost:.2f} %)"
            told.append(value)
        kind, _, setting = label.partition(" ")
        title = {"whole": "all five", "budget": f"`--budget {setting}`"}[kind]
        rows.append([title, f"{100 * version['cost']:.1f} %", *told])
    return _table(["version", "cost", "age, MAE years", "sex, AUROC", "superclass", "arrhythmia"], rows)


def _gates(tasks: dict[str, Block], title: str) -> list[str]:
    rows = []
    for task, name in TITLES.items():
        block = tasks[task]
        kept = [view for view in block["gates_kept"] if view != "none"]
        told = "0" if not kept else _change(task, block["as fit does"]["minus static"])
        told += f" ({len(kept)} of {len(block['gates_kept'])} folds){_said(block['as fit does'])}"
        static = _interval(block["static"]["value"], DIGITS.get(task, 3))
        rows.append([name, static, *(_gated(task, block[view]) for view in VIEWS), told])
    views = (view.replace("lead-ii", "lead II") for view in VIEWS)
    return _table([f"task, {title}", "static weights", *views, "**what `fit` keeps**"], rows)


def _other_gates(tasks: dict[str, Block]) -> list[str]:
    rows = [[name, *(_gated(task, tasks[task][gate]) for gate in NOT_OFFERED)] for task, name in TITLES.items()]
    return _table(["task", *NOT_OFFERED], rows)


def _gated(task: str, found: Block) -> str:
    return _change(task, found["minus static"]) + _said(found)


def _said(found: Block) -> str:
    return "" if found["verdict"] == "no difference shown" else f": {found['verdict']}"


def _metric(task: str, block: Block | None) -> str:
    if block is None:
        return "–"
    return f"{_interval(block['ensemble'][block['metric']], DIGITS.get(task, 3))} (n = {block['n']})"


def _fibrillation(block: Block) -> str:
    own = _auroc(block["ensemble"]["per_class"]["AFIB"])
    return f"{_interval(own, 3)} (n = {block['classes']['AFIB']} of {block['n']})"


def _classes(block: Block, *, interval: bool = False) -> str:
    told = []
    for name, figures in block["ensemble"]["per_class"].items():
        own = _auroc(figures)
        if own["value"] is not None:
            value = _interval(own, 3) if interval else f"{own['value']:.3f}"
            told.append(f"{name} {value} (n = {block['classes'][name]})")
    return ", ".join(told)


def _auroc(figures: Block) -> Block:
    return dict(figures.get("auroc", figures))


def _versus(task: str, block: Block, rival: str) -> str:
    told = block["compare"][rival]
    return f"{_change(task, told['difference'])}: {told['verdict']}"


def _change(task: str, found: Block) -> str:
    digits = {"rr_interval": 3, "age": 3}.get(task, 4)
    return f"{found['value']:+.{digits}f} [{found['low']:+.{digits}f}, {found['high']:+.{digits}f}]"


def _interval(found: Block, digits: int) -> str:
    return f"{found['value']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def _number(task: str, value: float) -> str:
    return f"{value:.{DIGITS.get(task, 3)}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]


def _replaced(text: str, table: Sequence[str]) -> str:
    """The text with the table that has the same first row exchanged."""
    lines = text.split("\n")
    if table[0] not in lines:
        raise SystemExit(f"no table begins with {table[0]!r}")
    start = lines.index(table[0])
    stop = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    lines[start:stop] = [table[0], lines[start + 1], *table[1:]]
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
