"""What makes an evaluation too good: data of the training part, copies, and experts that know the labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from enecg.cohorts.identity import SubjectKey, pack_contents, shared_contents
from enecg.ensemble.expert_info import ExpertInfo
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.trained.supervised import SupervisedExpert

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort
    from enecg.tasks import Target


def hash_subjects(subjects: Iterable[str], salt: str) -> dict[str, str]:
    """Return hash -> subject, as bundles of version 0.1 hold them and cards of networks that learned public data."""
    return {hashlib.sha256(f"{salt}|{subject}".encode()).hexdigest()[:16]: subject for subject in subjects}


def identity_facts(cohort: Cohort, contents: Sequence[str]) -> dict[str, Any]:
    """Return what a bundle keeps to know its training part again, which names nobody (`enecg.cohorts.identity`).

    Args:
        cohort: the training part.
        contents: content hashes of its recordings.
    """
    key, digest = SubjectKey.own(create=True), cohort.digest()
    facts: dict[str, Any] = {"digest": digest, "recording_hashes": pack_contents(contents)}
    if key is not None:
        facts |= {"subject_key": key.name, "subject_tags": sorted(key.tags(set(cohort.subjects), digest))}
    return facts


def shared_subjects(training: Mapping[str, Any], subjects: Iterable[str]) -> list[str] | None:
    """Return the subjects that a training part holds as well; None where they cannot be compared.

    Args:
        training: of `identity_facts`, or of a bundle of version 0.1.
        subjects: of the cohort to be compared.
    """
    if "subject_hashes" in training:
        here, known = hash_subjects(set(subjects), training["digest"]), training["subject_hashes"]
    else:
        key = SubjectKey.own()
        if key is None or key.name != training.get("subject_key"):
            return None
        here, known = key.tags(set(subjects), training["digest"]), training["subject_tags"]
    return sorted(here[tag] for tag in here.keys() & set(known))


def shared_recordings(training: Mapping[str, Any], contents: Sequence[str]) -> int:
    """Return how many recordings a training part holds as well, under whatever id."""
    packed = training.get("recording_hashes")
    return 0 if packed is None else int(shared_contents(packed, contents).sum())


def contrary_copies(cohort: Cohort, contents: Sequence[str], targets: Iterable[Target]) -> list[str]:
    """Return a sentence for each recording that is there twice with labels that contradict each other."""
    notes = []
    for target in targets:
        first: dict[str, int] = {}
        for row in np.flatnonzero(target.known).tolist():
            other = first.setdefault(contents[row], row) if contents[row] else row
            if not np.array_equal(target.y[row], target.y[other]):
                pair = f"{cohort.records[other]} and {cohort.records[row]}"
                notes.append(f"task {target.task.name}: {pair} are one recording with contrary labels")
    return notes


def seen_in_pretraining(cohort: Cohort, experts: Sequence[ExpertInfo]) -> list[str]:
    """Return one line for each expert that has seen a data set of this cohort (its column `dataset`), worst first."""
    if "dataset" not in cohort.table.columns:
        return []
    here = {_plain(name): str(name) for name in cohort.table["dataset"].dropna().unique()}
    lines = []
    for kind, how in (("label_corpora", "with labels: its results here are too good"), ("corpora", "without labels")):
        for info in experts:
            both = sorted({here[key] for key in here for corpus in getattr(info, kind) if key == _plain(corpus)})
            if both:
                lines.append(f"expert {info.name} has seen {', '.join(both)} {how}")
    return lines


def _plain(name: object) -> str:
    """`PTB-XL (filtered)` and `cinc_ptbxl` name the same corpus."""
    bare = "".join(c for c in str(name).split("(")[0].lower() if c.isalnum())
    return bare.removeprefix("cinc")


def replace_label_leaking_experts(cohort: Cohort, experts: Sequence[Expert]) -> tuple[list[Expert], list[str]]:
    """Replace supervised experts that know labels of this cohort by the input of their networks.

    The network is then a head like any other: it is trained in each fold without the recordings of that fold.

    Returns:
        The experts to be used, and a line for each that was replaced.
    """
    kept: dict[str, Expert] = {}
    lines = []
    for expert in experts:
        if isinstance(expert, SupervisedExpert) and _knows_labels(expert, cohort):
            lines.append(
                f"expert {expert.card.name} was trained on labels of this cohort: networks of its kind are trained "
                f"anew in each fold instead, on {expert.trained_on}"
            )
            view = copy(registry.create(expert.trained_on, expert.runtime))
            view.network_input = expert.trained_on
            kept[view.card.name] = view
        else:
            kept.setdefault(expert.card.name, expert)
    return list(kept.values()), lines


def _knows_labels(expert: SupervisedExpert, cohort: Cohort) -> bool:
    """By the names of the data sets, or by subjects where the manifest does not name them."""
    info = ExpertInfo.of(expert)
    by_name = any(" with labels" in line for line in seen_in_pretraining(cohort, [info]))
    return by_name or bool(shared_subjects(expert.training, cohort.subjects))
