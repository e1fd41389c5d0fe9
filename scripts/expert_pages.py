"""Write docs/experts: one page for each family of experts, from their cards.

    python scripts/expert_pages.py

What was measured outside of this repository stands in docs/experts/measured.json: how near each network comes to its
authors' code on drawn weights, and what bfloat16 changes. A test keeps the pages true.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from enecg.experts import registry
from enecg.experts.base import Card
from enecg.experts.inputs import InputSpec
from enecg.experts.published.catalogue import Published, find, must_accept

FOLDER: Final = Path(__file__).parents[1] / "docs" / "experts"

# Titles of pages where the name of the family's module does not give them.
_TITLES: Final = {
    "beat": "Median beat", "clef": "CLEF", "dlinear": "DLinear", "ecg-fm": "ECG-FM", "ecg-jepa": "ECG-JEPA",
    "ecgfounder": "ECGFounder", "hubert-ecg": "HuBERT-ECG", "melp": "MELP", "merl": "MERL", "moment": "MOMENT",
    "openecg": "openecg", "rocket": "Random convolutions", "st-mem": "ST-MEM",
    "supervised": "Networks trained on labels", "tempo": "TEMPO", "timesnet": "TimesNet", "tirex": "TiRex",
    "xecg": "xECG",
}  # fmt: skip

_ABOUT: Final = """\
`recommended` holds permissive licences only. Of eight ECG models that were compared frozen on 28 tasks
(arXiv 2509.25095), ECGFounder and ECG-JEPA lead on diagnoses and rhythms; MERL has learned from reports and costs
little; `rhythm`, `morphology` and `beat` measure what can be measured directly. `paper` is what EnECG describes.

## How they are checked

`enecg experts verify NAME` checks the file's hash, loads it strictly, and runs the contract suite
(`src/enecg/experts/contract.py`), the same for all experts: the same numbers again, alone and in a batch, in training
mode, in two threads and after pickling; no file is written; absent leads; short, long and normalised recordings;
padding; no number from an unknown amplitude; measurements in the task's unit; a new version where the numbers changed.
With `--generated` it writes weights in the layout of the published file, at full size, reads them like that file, and
compares the embedding with recorded numbers as well (`scripts/expert_goldens.py` records them).

The networks were compared with their authors' code on drawn weights, outside of this repository; each page says how
close they are. `tests/experts/published/official.json` and `official_toys.json` keep the output of that code for
small networks (`scripts/official_goldens.py` and `scripts/official_toys.py` make them again). The published files
themselves were not at hand, except those that lie in a package: how the networks read them is known from the authors'
code, not from a run.
What bfloat16 changes was measured on generated weights, whose attention is sharper than that of trained ones.
"""

_SCALINGS: Final = {
    "none": "as it is",
    "lead_zscore": "each lead to mean 0 and deviation 1",
    "record_zscore": "all leads together to mean 0 and deviation 1",
    "lead_minmax": "each lead to [-1, 1]",
    "record_minmax": "all leads together to [-1, 1]",
}
_KINDS: Final = {"fft": "by FFT", "linear": "linearly", "polyphase": "by polyphase filters"}


def steps(spec: InputSpec) -> str:
    """The input contract in words, in the order of its steps."""
    filters = [f"band-stop at {spec.notch:g} Hz"] if spec.notch else []
    if spec.band:
        design = "FIR" if spec.design == "fir" else f"Butterworth of order {spec.order}"
        filters.append(f"band-pass {spec.band[0]:g}-{spec.band[1]:g} Hz ({design}, forwards and backwards)")
    if spec.baseline:
        filters.append(f"running median of {spec.baseline:g} s taken off")
    hop = f", one every {spec.hop_seconds:g} s" if spec.hop_seconds else ""
    texts = {
        "filter": "; ".join(filters),
        "resample": f"resampled {_KINDS[spec.resampler]} to {spec.rate:g} Hz",
        "window": f"windows of {spec.seconds:g} s{hop}, {spec.max_windows} at most, their embeddings averaged",
        "scale": f"scaled: {_SCALINGS[spec.scaling]}",
    }
    return "; then ".join(texts[step] for step in spec.steps if texts[step])


def rows(card: Card, published: Published | None, measured: dict[str, str]) -> dict[str, str]:
    """Return the rows of a card's table: heading -> text."""
    weights = card.weights
    where = ""
    if weights.hub:
        where = f"[{weights.hub}](https://huggingface.co/{weights.hub})"
        where += f" at {weights.revision}" if weights.revision else ""
    elif weights.url or weights.page:
        where = f"<{weights.url or weights.page}>" + ("" if weights.url else " (by hand)")
    accept = f" --accept-licence '{card.licence}'" if must_accept(card) else ""
    missing = "zeros" if card.input.missing == "zero" else "the recording is refused"
    table = {
        "what": card.title,
        "source": card.source,
        "licence": f"{card.licence} ({card.licence_class})",
        "weights": f"`{weights.file}`" + (f", {weights.bytes:,} bytes" if weights.bytes else "")
        if weights.file
        else "",
        "published at": where,
        "sha256": f"`{weights.sha256}`" if weights.sha256 else "recorded on the first fetch" if published else "",
        "fetch": f"`enecg experts fetch {card.name}{accept}`" if published else "",
        "needs the package": published.package if published else "",
        "parameters": f"{card.parameters:,}" if card.parameters else "",
        "embedding": f"{card.dim:,} numbers",
        "leads": ", ".join(card.input.leads) + f"; an absent one: {missing}",
        "preparation": steps(card.input),
        "a short recording": "what stands behind it makes no difference"
        if card.padding == "ignored"
        else "zeros behind it are part of the input",
        "amplitude": "mV; a normalised recording is refused" if card.input.amplitude == "mV" else "",
        "has seen signals of": ", ".join(card.corpora),
        "has seen labels of": ", ".join(card.label_corpora),
        "cost": f"{card.cost_ms:,.0f} ms for 10 s on one CPU core" if card.cost_ms and card.cost_ms >= 1 else "",
        "against the authors' code": measured.get("official code", ""),
        "bfloat16 changes": f"{measured['bfloat16']} of the largest number" if "bfloat16" in measured else "",
    }
    return {heading: text for heading, text in table.items() if text}


def families() -> dict[str, tuple[str, list[str]]]:
    """Pages by file name: their titles and experts. A new module of experts has its page without being named here."""
    files = {module.replace("_", "-"): names for module, names in registry.families().items()}
    return {file: (_TITLES.get(file, file.replace("-", " ").capitalize()), names) for file, names in files.items()}


def page(title: str, names: Sequence[str], measured: dict[str, dict[str, str]]) -> str:
    """The page of one family."""
    lines = [f"# {title}", ""]
    for name in names:
        card = registry.entry(name).card()
        lines += [f"## `{name}`", "", "| | |", "|---|---|"]
        table = rows(card, find(name), measured.get(name, {}))
        lines += [f"| {heading} | {text} |" for heading, text in table.items()]
        lines += ["", card.notes, ""] if card.notes else [""]
    lines += ["Written from the cards by `scripts/expert_pages.py`. See [all experts](README.md).", ""]
    return "\n".join(lines)


def overview() -> str:
    """The page of all experts and sets."""
    lines = ["# Experts", "", "| name | what | licence | numbers | parameters | ms |", "|---|---|---|---|---|---|"]
    for file, (_, names) in families().items():
        for name in names:
            card = registry.entry(name).card()
            cost = f"{card.cost_ms:,.0f}" if card.cost_ms else ""
            many = f"{card.parameters:,}" if card.parameters else ""
            licence = f"{card.licence} ({card.licence_class})"
            lines.append(f"| [{name}]({file}.md) | {card.title} | {licence} | {card.dim:,} | {many} | {cost} |")
    lines += [
        "",
        "ms: CPU time for a recording of 10 s on one core, with generated weights where they are fetched.",
        "",
    ]
    lines += ["## Sets", "", *(f"- `{name}`: {', '.join(of)}" for name, of in registry.SETS.items()), ""]
    lines.append(_ABOUT)
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """All pages: file name -> text."""
    measured: dict[str, Any] = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))
    written = {f"{file}.md": page(title, names, measured) for file, (title, names) in families().items()}
    return {"README.md": overview(), **written}


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
