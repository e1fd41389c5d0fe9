"""A cascade: few experts answer first, and all experts answer again where those answers are uncertain.

Early exit by entropy (BranchyNet: Teerapittayanon, McDanel and Kung 2016), with an ensemble's reduced version as the
first exit: where its probabilities are certain, the costly experts would hardly change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.ensemble import Ensemble, TaskModel
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.outputs import Answering, Embeddings, TaskOutput
from enecg.ensemble.versions import EntropyThreshold
from enecg.experts.base import Expert
from enecg.recording import Recording
from enecg.tasks import Task


@dataclass
class Cascade:
    """Two stages of one ensemble: the first answers everything, the second what the first leaves uncertain.

    Attributes:
        first: the version with few experts.
        full: the ensemble of all experts, the second stage.
        threshold: of the uncertainty of the first answers.
        share: of recordings like those of the training part that reach the second stage.
    """

    first: Ensemble
    full: Ensemble
    threshold: EntropyThreshold
    share: float

    @property
    def experts(self) -> list[ExpertInfo]:
        """The experts that the ensemble was fitted with, gate inputs included."""
        return self.full.experts

    @property
    def models(self) -> dict[str, TaskModel]:
        """Task name -> what answers the task in the first stage."""
        return self.first.models

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of the fit, as JSON values."""
        return self.full.recipe

    @property
    def training(self) -> dict[str, Any]:
        """What the ensemble was trained on."""
        return self.full.training

    @property
    def tasks(self) -> list[Task]:
        """The tasks, with their classes."""
        return self.first.tasks

    @property
    def needed(self) -> list[str]:
        """Names of the experts that every recording needs: those of the first stage."""
        return self.first.needed

    @property
    def later(self) -> list[str]:
        """Names of the experts that only the second stage needs."""
        return [name for name in self.full.needed if name not in self.first.needed]

    def uncertain(self, first: Mapping[str, TaskOutput]) -> np.ndarray:
        """Return bool `[recording]`: which of these first answers the second stage replaces."""
        answers = {name: output.value for name, output in first.items()}
        return np.asarray(self.threshold.uncertainty(answers) >= self.threshold.limit(self.share))

    def predict(self, embeddings: Embeddings, *, compare: bool = False) -> dict[str, TaskOutput]:
        """Return task name -> answers of the first stage, with those of the second where the first are uncertain.

        Args:
            embeddings: of the experts of both stages; rows that only the second stage needs may be NaN where the first
                answers are certain. With `compare`, of all experts.
            compare: also what every expert alone and the baselines answer.
        """
        first = self.first.predict(embeddings, compare=compare)
        rows = self.uncertain(first)
        if not rows.any():
            return first
        second = self.full.predict({name: matrix[rows] for name, matrix in embeddings.items()})
        return {name: output.with_rows(rows, second[name]) for name, output in first.items()}

    def with_columns(self, tasks: Iterable[Task]) -> Cascade:
        """Return the same with labels read from the columns of `tasks`; see `Ensemble.with_columns`."""
        tasks = list(tasks)
        return replace(self, first=self.first.with_columns(tasks), full=self.full.with_columns(tasks))


def embed_needed(
    answering: Answering, experts: Sequence[Expert], recordings: Sequence[Recording]
) -> dict[str, np.ndarray]:
    """Return the embeddings that answers need: expert name -> float32 `[recording, dim]`.

    An expert without weight in any task does not run. The experts of a cascade's second stage run only on recordings
    that its first answers leave uncertain; their other rows are NaN.

    Args:
        answering: the fitted ensemble, or a cascade.
        experts: those that it was fitted with.
        recordings: usable ones.
    """
    found = embed_recordings(recordings, _named(experts, answering.needed))
    if not isinstance(answering, Cascade):
        return found
    rows = np.flatnonzero(answering.uncertain(answering.first.predict(found)))
    later = _named(experts, answering.later)
    for expert in later:
        found[expert.card.name] = np.full((len(recordings), expert.card.dim), np.nan, np.float32)
    if len(rows) and later:
        for name, part in embed_recordings([recordings[row] for row in rows], later).items():
            found[name][rows] = part
    return found


def _named(experts: Sequence[Expert], names: Sequence[str]) -> list[Expert]:
    return [expert for expert in experts if expert.card.name in names]
