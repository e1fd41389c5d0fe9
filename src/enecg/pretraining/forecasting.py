"""`enecg pretrain` for the forecasters TimesNet and DLinear: each learns to forecast your own recordings.

Wu et al., ICLR 2023; Zeng et al., AAAI 2023. The next samples are the target, so no label is needed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from enecg.cohorts.manifest import Cohort
from enecg.errors import InputError
from enecg.experts.network import pick_device
from enecg.experts.trained import dlinear, timesnet
from enecg.experts.trained.forecasting import AHEAD, SAMPLES, TRAINING_INPUT, forecast_error
from enecg.pretraining.card import MADE_BY, CardFacts, work_folder, write_expert
from enecg.pretraining.contrastive import train, training_facts
from enecg.pretraining.signals import Signals, gather
from enecg.pretraining.training import Run, TrainingSettings

CROP: Final = SAMPLES + AHEAD
LEADS: Final = 4  # drawn for each step: the leads of a recording are much alike
SETTINGS: Final = {
    timesnet.KIND: TrainingSettings(steps=400, batch=16, crop=CROP, rate=3e-3),
    dlinear.KIND: TrainingSettings(steps=600, batch=64, crop=CROP, rate=1e-4),
}
CARDS: Final = {timesnet.KIND: timesnet.OWN, dlinear.KIND: dlinear.OWN}


class Forecast(Run):
    """The run that trains a forecaster.

    Args:
        kind: `"timesnet"` or `"dlinear"`.
        signals: what is trained on, prepared by `TRAINING_INPUT`.
        settings: how.
        seed: of weights, order and leads.
        device: where.
    """

    def __init__(
        self, kind: str, signals: Signals, settings: TrainingSettings, seed: int, device: torch.device
    ) -> None:
        self.kind = kind
        super().__init__(signals, settings, seed, device)

    @override
    def begin(self, leads: int) -> nn.Module:
        if self.kind == dlinear.KIND:
            from enecg.experts.networks.dlinear import DLinear, DLinearShape

            return DLinear(DLinearShape(**dlinear.SIZES))
        from enecg.experts.networks.timesnet import TimesNet, TimesNetShape

        return TimesNet(TimesNetShape(**timesnet.SIZES))

    @override
    def loss(self, windows: np.ndarray, length: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        leads = rng.permutation(windows.shape[1])[:LEADS]
        signal = windows[:, np.sort(leads), :CROP].astype(np.float32)
        return forecast_error(self.student, torch.from_numpy(signal).to(self.device))


def pretrain_forecaster(
    kind: str,
    source: Cohort | Signals,
    out: Path,
    *,
    facts: CardFacts | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Pretrain a forecaster without labels and write it as an expert: a folder that `--experts` takes.

    Interrupted, it goes on where it was when it is called again with the same arguments.

    Args:
        kind: `"timesnet"` or `"dlinear"`.
        source: recordings to learn from, or their signals as `TRAINING_INPUT` prepares them.
        out: folder of the expert; `out/work` holds what is needed to resume until the run is complete.
        facts: what the card states beyond what the training knows.
        steps: optimiser steps.
        seed: the same seed gives the same expert, on one machine with the same number of threads.
        device: where to compute; a GPU when there is one by default.
        progress: show bars on standard error.

    Returns:
        What `card.json` then holds.

    Raises:
        InputError: no such kind, too few recordings, or `out` holds an expert or another run.
    """
    if kind not in SETTINGS:
        raise InputError(f"no forecaster {kind!r}; known: {', '.join(SETTINGS)}")
    facts, work = facts or CardFacts(), work_folder(out)
    signals = source if isinstance(source, Signals) else gather(source, TRAINING_INPUT, work, progress)
    settings = SETTINGS[kind] if steps is None else replace(SETTINGS[kind], steps=steps)
    run = Forecast(kind, signals, settings, seed, pick_device(device))
    train(run, work / "checkpoint.pt", progress)
    own = CARDS[kind]
    card = replace(
        own,
        source=f"{own.source}; {MADE_BY}",
        notes=f"{own.notes} Learned from {signals.recordings:,} recordings of "
        f"{', '.join(facts.corpora) or signals.name}.",
    )
    return write_expert(out, kind, card, facts, run.student.cpu().state_dict(), training_facts(run))
