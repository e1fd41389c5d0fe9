"""Who has seen these recordings before: experts in pretraining, and what is done about those that know the labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING

from enecg.ensemble.expert_info import ExpertInfo
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.trained.supervised import SupervisedExpert

if TYPE_CHECKING:
    from enecg.cohorts.manifest import Cohort


def hash_subjects(subjects: Iterable[str], salt: str) -> dict[str, str]:
    """Hash -> subject. The salt, the cohort's digest, keeps one bundle's hashes from being looked up in another's."""
    return {hashlib.sha256(f"{salt}|{subject}".encode()).hexdigest()[:16]: subject for subject in subjects}


def overlaps(cohort: Cohort, experts: Sequence[ExpertInfo]) -> list[str]:
    """One line for each expert that has seen a data set of this cohort (its column `dataset`), worst first."""
    if "dataset" not in cohort.table.columns:
        return []
    here = {_plain(name): str(name) for name in cohort.table["dataset"].dropna().unique()}
    told = []
    for kind, said in (("label_corpora", "with labels: its results here are too good"), ("corpora", "without labels")):
        for info in experts:
            both = sorted({here[key] for key in here for corpus in getattr(info, kind) if key == _plain(corpus)})
            if both:
                told.append(f"expert {info.name} has seen {', '.join(both)} {said}")
    return told


def _plain(name: object) -> str:
    """`PTB-XL (filtered)` and `cinc_ptbxl` name the same corpus."""
    bare = "".join(c for c in str(name).split("(")[0].lower() if c.isalnum())
    return bare.removeprefix("cinc")


def trained_anew(cohort: Cohort, experts: Sequence[Expert]) -> tuple[list[Expert], list[str]]:
    """Put what their networks are trained on in the place of supervised experts that know labels of this cohort.

    A network is then a head like any other: trained in each fold without it.

    Returns:
        The experts to be used, and a line for each that was replaced.
    """
    kept: dict[str, Expert] = {}
    told = []
    for expert in experts:
        if isinstance(expert, SupervisedExpert) and _knows(expert, cohort):
            told.append(
                f"expert {expert.card.name} was trained on labels of this cohort: networks of its kind are trained "
                f"anew in each fold instead, on {expert.trained_on}"
            )
            view = copy(registry.create(expert.trained_on, expert.runtime))
            view.network_input = expert.trained_on
            kept[view.card.name] = view
        else:
            kept.setdefault(expert.card.name, expert)
    return list(kept.values()), told


def _knows(expert: SupervisedExpert, cohort: Cohort) -> bool:
    """By the names of the data sets, or by subjects where the manifest does not name them."""
    info = ExpertInfo.of(expert)
    by_name = any(" with labels" in line for line in overlaps(cohort, [info]))
    return by_name or bool(hash_subjects(set(cohort.subjects), expert.salt).keys() & expert.subject_hashes)
