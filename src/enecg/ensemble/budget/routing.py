"""Which experts need to look at a recording at all: gates see a cheap view of it before any expert does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from enecg.embedding.pipeline import embed_recordings
from enecg.ensemble.ensemble import Embeddings, Ensemble
from enecg.ensemble.gates.clusters import OUTPUTS
from enecg.experts.base import Expert
from enecg.recording import Recording

NEGLIGIBLE: Final = 0.01  # share of a task's weights up to which a gate's word spares a head's experts the look


def embed_needed(
    ensemble: Ensemble, experts: Sequence[Expert], recordings: Sequence[Recording]
) -> dict[str, np.ndarray]:
    """The embeddings that an ensemble's answers rest on.

    An expert without weight in any task does not run. Where gates look at views, those are embedded first, and an
    expert that no task then gives more than `NEGLIGIBLE` of its weights does not run on that recording: its row is
    NaN, as of one that has no answer, and the others share its weight. Where a second look is taken at recordings that
    the first answers leave open, what it needs besides runs on those only.

    Args:
        ensemble: fitted.
        experts: those that it names.
        recordings: usable ones.

    Returns:
        Expert name -> float32 `[recording, dim]`.
    """
    found = _first_look(ensemble, experts, recordings)
    if ensemble.second is None:
        return found
    open_rows = np.flatnonzero(ensemble.second.wanted(ensemble.first_answers(found)))
    needed = set(ensemble.second.ensemble.needed)
    rest = [expert for expert in experts if expert.card.name in needed and expert.card.name not in found]
    for expert in rest:
        found[expert.card.name] = np.full((len(recordings), expert.card.dim), np.nan, np.float32)
    if len(open_rows) and rest:
        for name, part in embed_recordings([recordings[row] for row in open_rows], rest).items():
            found[name][open_rows] = part
    return found


def _first_look(
    ensemble: Ensemble, experts: Sequence[Expert], recordings: Sequence[Recording]
) -> dict[str, np.ndarray]:
    needed = set(ensemble.needed)
    looking = [expert for expert in experts if expert.card.name in needed]
    views = {model.view for model in ensemble.models.values() if model.gate is not None} - {OUTPUTS}
    found = embed_recordings(recordings, [expert for expert in looking if expert.card.name in views] or looking)
    rest = [expert for expert in looking if expert.card.name not in found]
    if not rest:
        return found
    masks = wanted(ensemble, found)
    looks = np.stack([masks[expert.card.name] for expert in rest])
    for expert in rest:
        found[expert.card.name] = np.full((len(recordings), expert.card.dim), np.nan, np.float32)
    for pattern in sorted(set(map(tuple, looks.T.tolist()))):
        rows = np.flatnonzero([tuple(column) == pattern for column in looks.T.tolist()])
        chosen = [expert for expert, looks_here in zip(rest, pattern, strict=True) if looks_here]
        if chosen:
            for name, part in embed_recordings([recordings[row] for row in rows], chosen).items():
                found[name][rows] = part
    return found


def wanted(ensemble: Ensemble, views: Embeddings) -> dict[str, np.ndarray]:
    """Expert name -> bool `[recording]`: whether any task gives it more than a negligible weight.

    Args:
        ensemble: fitted.
        views: embeddings of the views that its gates look at, of the same recordings.
    """
    count = len(next(iter(views.values())))
    read_by = {predictor.name: predictor.experts for predictor in ensemble.predictors}
    found = {info.name: np.zeros(count, bool) for info in ensemble.experts}
    for model in ensemble.models.values():
        combiner = model.combiner
        looks = np.tile(combiner.weighted[:, None], count)  # [member, recording]
        if model.gate is not None and model.view in views:
            weights = np.abs(model.gate.gated(views[model.view], combiner).weights)
            told = np.isfinite(views[model.view]).any(1)
            looks &= ~((weights <= NEGLIGIBLE * weights.sum(0)).all(2) & told)
        for member, here in zip(model.combiner.members, looks, strict=True):
            for expert in read_by[member]:
                found[expert] |= here
    return found
