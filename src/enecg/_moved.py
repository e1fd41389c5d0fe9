"""Module paths of version 0.1 lead to their new places until version 0.3, with a `DeprecationWarning`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

MOVED: Final = {
    "answers": "bundle",
    "cli_experts": "cli.experts",
    "cli_store": "cli.store",
    "cohort": "cohorts",
    "cohort.jsonlines": "cohorts.layouts.enecg_jsonl",
    "cohort.listing": "cohorts.listing",
    "cohort.manifest": "cohorts.manifest",
    "cohort.ptbxl": "cohorts.layouts.ptbxl",
    "cohort.query": "cohorts.query",
    "cohort.simulated": "simulation",
    "cohort.simulated.cohort": "simulation.cohort",
    "cohort.simulated.noise": "simulation.noise",
    "cohort.simulated.person": "simulation.person",
    "cohort.simulated.record": "simulation.record",
    "cohort.simulated.rhythm": "simulation.rhythm",
    "cohort.simulated.waves": "simulation.waves",
    "cohort.split": "cohorts.split",
    "demo": "cli.demo",
    "doctor": "cli.doctor",
    "embed.cluster": "embedding.cluster",
    "embed.desk": "embedding.store.session",
    "embed.encoding": "embedding.encoding",
    "embed.gather": "embedding.dataset",
    "embed.index": "embedding.store.index",
    "embed.parallel": "workers.threads",
    "embed.pipeline": "embedding.pipeline",
    "embed.progress": "embedding.progress",
    "embed.ray": "embedding.ray",
    "embed.reading": "embedding.reading",
    "embed.shard": "embedding.store.shard",
    "embed.source": "embedding.store.source",
    "embed.store": "embedding.store.store",
    "embed.upkeep": "embedding.store.maintenance",
    "ensemble.answer": "ensemble.predictions",
    "ensemble.budget": "ensemble.budget.selection",
    "ensemble.bundle": "ensemble.serialization.bundle",
    "ensemble.calibrate": "ensemble.calibration",
    "ensemble.combine": "ensemble.combiner",
    "ensemble.fit": "ensemble.fitting.fit",
    "ensemble.gate": "ensemble.gates.clusters",
    "ensemble.heads.features": "ensemble.heads.feature_maps",
    "ensemble.heads.ffn": "ensemble.heads.feed_forward",
    "ensemble.heads.forest": "ensemble.heads.tree_arrays",
    "ensemble.heads.linear": "ensemble.heads.ridge",
    "ensemble.heads.training": "ensemble.heads.feed_forward_training",
    "ensemble.mixture": "ensemble.fitting.joint",
    "ensemble.mixture_gate": "ensemble.gates.perceptron",
    "ensemble.model": "ensemble.ensemble",
    "ensemble.recipe": "ensemble.fitting.recipes",
    "ensemble.rivals": "ensemble.baselines",
    "ensemble.routing": "ensemble.budget.cascade",
    "ensemble.second_look": "ensemble.budget.cascade",
    "evaluate.bootstrap": "evaluation.bootstrap",
    "evaluate.charts": "evaluation.report.charts",
    "evaluate.figures": "evaluation.report.figures",
    "evaluate.folds": "evaluation.folds",
    "evaluate.overlap": "evaluation.leakage",
    "evaluate.paper": "drawing.ecg_paper",
    "evaluate.report": "evaluation.report.html",
    "evaluate.reproduce": "paper.protocol",
    "evaluate.run": "evaluation.protocol",
    "evaluate.score": "evaluation.scores",
    "evaluate.sections": "evaluation.report.html",
    "evaluate.sheet": "drawing.sheet",
    "evaluate.sidebyside": "paper.report",
    "evaluate.wording": "evaluation.report.wording",
    "experts._amplitude": "experts.analytic.features.amplitude",
    "experts._beats": "experts.analytic.features.beats",
    "experts._columns": "experts.analytic.features.columns",
    "experts._limb": "experts.analytic.features.limb",
    "experts._morphology": "experts.analytic.features.morphology",
    "experts._rhythm_features": "experts.analytic.features.rhythm",
    "experts._vectors": "experts.analytic.features.vectors",
    "experts._waves": "experts.analytic.features.waves",
    "experts.beat": "experts.analytic.beat",
    "experts.chronos": "experts.published.chronos",
    "experts.clef": "experts.published.clef",
    "experts.dlinear": "experts.trained.dlinear",
    "experts.download": "experts.published.download",
    "experts.ecg_jepa": "experts.published.ecg_jepa",
    "experts.ecgfm": "experts.published.ecg_fm",
    "experts.ecgfounder": "experts.published.ecgfounder",
    "experts.export": "experts.runtimes.export",
    "experts.fetch": "experts.published.fetch",
    "experts.forecasting": "experts.trained.forecasting",
    "experts.generate": "experts.published.synthetic_weights",
    "experts.hubert_ecg": "experts.published.hubert_ecg",
    "experts.mantis": "experts.published.mantis",
    "experts.melp": "experts.published.melp",
    "experts.merl": "experts.published.merl",
    "experts.moment": "experts.published.moment",
    "experts.morphology": "experts.analytic.morphology",
    "experts.nets": "experts.networks",
    "experts.nets.chronos": "experts.networks.chronos",
    "experts.nets.codec": "experts.networks.melp_codec",
    "experts.nets.convolutional": "experts.networks.convolutional",
    "experts.nets.dlinear": "experts.networks.dlinear",
    "experts.nets.ecgfm": "experts.networks.ecg_fm",
    "experts.nets.hubert": "experts.networks.hubert_ecg",
    "experts.nets.leads": "experts.networks.lead_selection",
    "experts.nets.mantis": "experts.networks.mantis",
    "experts.nets.melp": "experts.networks.melp",
    "experts.nets.moment": "experts.networks.moment",
    "experts.nets.net1d": "experts.networks.ecgfounder",
    "experts.nets.recurrent": "experts.networks.recurrent",
    "experts.nets.resnet": "experts.networks.merl",
    "experts.nets.staged": "experts.networks.staged",
    "experts.nets.supervised": "experts.networks.supervised",
    "experts.nets.tempo": "experts.networks.tempo",
    "experts.nets.timesnet": "experts.networks.timesnet",
    "experts.nets.transformer": "experts.networks.transformer",
    "experts.nets.vit": "experts.networks.st_mem",
    "experts.openecg": "experts.published.openecg",
    "experts.published": "experts.published.catalogue",
    "experts.rhythm": "experts.analytic.rhythm",
    "experts.rocket": "experts.analytic.rocket",
    "experts.runtime": "experts.runtimes.runtime",
    "experts.sessions": "experts.runtimes.sessions",
    "experts.stmem": "experts.published.st_mem",
    "experts.supervised": "experts.trained.supervised",
    "experts.tempo": "experts.published.tempo",
    "experts.timesnet": "experts.trained.timesnet",
    "experts.tiny": "experts.trained.tiny",
    "experts.tirex": "experts.published.tirex",
    "experts.verify": "experts.published.verify",
    "experts.views": "experts.gate_inputs",
    "experts.xecg": "experts.published.xecg",
    "places": "files",
    "pretrain": "pretraining",
    "pretrain.forecast": "pretraining.forecasting",
    "pretrain.run": "pretraining.training",
    "pretrain.signals": "pretraining.signals",
    "pretrain.supervised": "pretraining.supervised",
    "pretrain.tiny": "pretraining.contrastive",
    "serve.answering": "serve.model_process",
    "serve.children": "workers.pool",
    "serve.drawing": "serve.display",
    "serve.gate": "serve.middleware",
    "serve.observe": "serve.telemetry",
    "serve.pages": "serve.static",
    "serve.protocol": "serve.h11",
    "serve.reading": "serve.reader_process",
    "serve.run": "serve.server",
    "serve.wire": "workers.framing",
    "show": "cli.output",
}  # fmt: skip


class _Loader(Loader):
    """Returns the module at the new path under the old name."""

    def __init__(self, new: str) -> None:
        self._new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return import_module(self._new)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the module at the new path has been executed."""


class _Finder(MetaPathFinder):
    """Finds modules under the paths that they had in version 0.1."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname.removeprefix("enecg.")) if fullname.startswith("enecg.") else None
        if new is None:
            return None
        warnings.warn(f"{fullname} is now enecg.{new}; the old name works until 0.3", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, _Loader(f"enecg.{new}"), is_package=True)


def install() -> None:
    """Make the old paths importable."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.append(_Finder())
    for name in ("embed", "evaluate"):  # were packages; `enecg.embed` and `enecg.evaluate` stay the functions
        package = ModuleType(f"enecg.{name}")
        package.__path__ = []
        sys.modules[package.__name__] = package
