"""The model card of a bundle: what it answers, from which experts, trained on what."""

from __future__ import annotations

import enecg
from enecg.ensemble.ensemble import Ensemble


def model_card(ensemble: Ensemble) -> str:
    """Return the bundle's README in Markdown."""
    lines = ["# ECG ensemble", "", f"**{enecg.NOTICE}**", "", "## Answers", ""]
    for task in ensemble.tasks:
        what = task.unit if task.kind == "regression" else ", ".join(task.classes)
        lines.append(f"- `{task.name}` ({task.kind}): {what}")
    lines += ["", "## Experts", "", "| expert | what | licence | fingerprint |", "|---|---|---|---|"]
    lines += [
        f"| {i.name} | {i.title} | {i.licence} | `{i.fingerprint[:12]}` |" for i in ensemble.experts if not i.gate_input
    ]
    lines += ["", "## Mean weight of each expert", ""]
    for name, model in ensemble.models.items():
        shares = ", ".join(f"{expert} {share:.2f}" for expert, share in model.combiner.shares().items())
        lines.append(f"- `{name}`: {shares}{'; with a gate' if model.gate else ''}")
    lines += ["", "## Training", ""]
    lines += [f"- {key}: {value}" for key, value in ensemble.training.items() if not isinstance(value, list | dict)]
    return "\n".join(lines) + "\n"
