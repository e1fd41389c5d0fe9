"""Bundles and their answers: all that predicting and serving need, without fitting and evaluating."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enecg.cohorts.listing import Item, listed
from enecg.documents import PredictionsDocument
from enecg.embedding.cluster import check_engine
from enecg.embedding.pipeline import Skipped
from enecg.ensemble.budget.cascade import Cascade
from enecg.ensemble.budget.selection import within
from enecg.ensemble.ensemble import Ensemble
from enecg.ensemble.expert_info import ExpertInfo
from enecg.ensemble.outputs import Answering
from enecg.ensemble.predictions import predict_files
from enecg.ensemble.serialization import bundle as bundles
from enecg.errors import InputError
from enecg.experts import registry
from enecg.experts.base import Expert
from enecg.experts.runtimes.runtime import TORCH, Runtime
from enecg.files import place
from enecg.recording import Recording

if TYPE_CHECKING:
    from enecg.ensemble.archive import ArchiveSummary

Say = Callable[[str], object]


def silent(line: str) -> None:
    """Ignore a line."""


@dataclass
class Bundle:
    """An ensemble with its experts, ready to answer: from `fit` or `load`, for `evaluate` and `predict`.

    Attributes:
        ensemble: heads, weights, gates and calibration of every task, or a version of it within a budget.
        experts: whose embeddings it reads.
        digest: the saved bundle's hash, which predictions carry; None until it is saved.
        skipped: recordings that could not be used for training, with reasons; empty when it was loaded.
    """

    ensemble: Answering
    experts: list[Expert]
    digest: str | None = None
    skipped: Sequence[Skipped] = ()

    def within(self, budget: float | None = None, top_k: int | None = None) -> Bundle:
        """Return the best version that costs at most a share of all experts' time, or runs at most so many experts.

        What a budget leaves is spent on a second stage: all experts answer where the first answers are uncertain.

        Raises:
            InputError: no version is so cheap.
        """
        whole = self.ensemble
        if budget is None and top_k is None:
            return self
        if not isinstance(whole, Ensemble):
            raise InputError("--budget: this bundle is limited already; take the version from the whole bundle")
        found = within(whole, budget, top_k)
        if found is whole:
            return self
        names = list(found.needed)
        marks = list(names)
        if isinstance(found, Cascade):
            names += found.later
            marks += [f"{found.share:.4g}*{name}" for name in found.later]
        digest = None if self.digest is None else "+".join([self.digest, *marks])
        return Bundle(found, [e for e in self.experts if e.card.name in names], digest, self.skipped)

    def save(self, folder: str | Path) -> str:
        """Write it as a folder, and return its hash; an older bundle there is replaced.

        Raises:
            InputError: the folder holds something else, or the bundle is one within a budget.
        """
        if not isinstance(self.ensemble, Ensemble):
            raise InputError(f"{folder}: a version within a budget cannot be saved; save the whole bundle")
        self.digest = bundles.save(self.ensemble, Path(folder))
        return self.digest


def load(folder: str | Path, runtime: str | Runtime | None = None) -> Bundle:
    """Load a bundle from its folder, with the experts that it was trained on.

    Args:
        folder: of the bundle.
        runtime: of the experts' networks, in float32. A bundle that was fitted in a lower precision keeps its own.

    Raises:
        InputError: no bundle, another format, a changed file, an expert that is missing or another one, or a runtime
            that would give it other embeddings than those that it was fitted on.
    """
    ensemble, digest = bundles.load(Path(folder))
    known = registry.names(gate_inputs=True)
    for info in ensemble.experts:
        if info.name not in known:
            raise InputError(
                f"{folder}: needs the expert {info.name!r}, which is not known here; "
                f"set ENECG_EXPERTS to the folder that holds the expert's own folder"
            )
    experts = [registry.create(info.name, _runtime_of(info, runtime)) for info in ensemble.experts]
    ensemble.check([ExpertInfo.of(expert) for expert in experts])
    return Bundle(ensemble, experts, digest)


def predict(
    bundle: Bundle | str | Path,
    recordings: str | Path | Recording | Iterable[str | Path | Recording | Item],
    *,
    rate: float | None = None,
    unit: str | None = None,
    ignore_checksums: bool = False,
    every: float | None = None,
) -> PredictionsDocument:
    """Answer all tasks of a bundle for recordings.

    Args:
        bundle: from `fit` or `load`, or its folder.
        recordings: files, by path or URL, or what `enecg.read` gives; one or several.
        rate: Hz, for files that do not state it.
        unit: mV, uV, V or unitless, for files that do not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums of their header, with a note.
        every: seconds of a period, 10 or more; each prediction then has `over_time`, the answers for each period.

    Returns:
        The JSON of `enecg predict --format json`: `predictions`, `skipped`, `bundle` (its hash) and `notice`. A file
        that cannot be read is under `skipped` with the reason; a recording that must not be interpreted has
        `usable` false and no answers.

    Raises:
        InputError: the bundle is wrong.
    """
    loaded = bundle if isinstance(bundle, Bundle) else load(bundle)
    several = [recordings] if isinstance(recordings, str | Path | Recording) else recordings
    return predict_files(
        loaded.ensemble, loaded.digest, loaded.experts, several,
        rate=rate, unit=unit, ignore_checksums=ignore_checksums, every=every,
    )  # fmt: skip


def predict_archive(
    bundle: Bundle | str | Path,
    wanted: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    rate: float | None = None,
    unit: str | None = None,
    ignore_checksums: bool = False,
    every: float | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = False,
    say: Say = silent,
) -> ArchiveSummary:
    """Answer all tasks of a bundle for a whole archive, written to Parquet as they come, in constant memory.

    Args:
        bundle: from `fit` or `load`, or its folder.
        wanted: files, folders, patterns or manifests, by path or URL; see `enecg.cohorts.listing.listed`.
        out: a file `….parquet`, or a folder of them, in which an interrupted run goes on where it was.
        rate: Hz, for files that do not state it.
        unit: mV, uV, V or unitless, for files that do not state it.
        ignore_checksums: read WFDB samples that do not fit the checksums of their header, with a note.
        every: seconds of a period; each then has a row, with its `start` in seconds.
        engine: `local`, or `ray` for the processors of a cluster, with the same bytes.
        address: of a Ray cluster; by default one on this machine.
        progress: show it.
        say: called with a line for what was not answered, which is in the rows too.

    Raises:
        InputError: the bundle is wrong, nothing is there, or it cannot be written.
    """
    from enecg.ensemble import archive

    check_engine(engine, address)
    loaded = bundle if isinstance(bundle, Bundle) else load(bundle)
    found = listed([wanted] if isinstance(wanted, str | Path) else wanted)
    for ending, count in sorted(found.left.items()):
        say(f"left alone: {count} files {ending or 'without ending'}")
    summary = archive.predict_archive(
        loaded.ensemble, loaded.digest, loaded.experts, found.items, place(out),
        rate=rate, unit=unit, ignore_checksums=ignore_checksums, every=every,
        engine=engine, address=address, progress=progress,
    )  # fmt: skip
    for record, reason in summary.failed:
        say(f"not answered: {record}: {reason.removeprefix(record + ': ')}")
    if summary.n_failed > len(summary.failed):
        say(f"not answered: {summary.n_failed - len(summary.failed)} more")
    return summary


def _runtime_of(info: ExpertInfo, asked: str | Runtime | None) -> Runtime:
    """Return how a bundle's expert is run: as asked for, unless that would change its embeddings."""
    wanted = None if asked is None else Runtime.parse(asked)
    if info.runtime:
        if wanted not in (None, Runtime.parse(info.runtime)):
            raise InputError(f"{info.name}: the bundle was fitted in {info.runtime}; leave --runtime out")
        return Runtime.parse(info.runtime)
    if wanted is not None and not wanted.is_exact:
        raise InputError(f"{info.name}: the bundle was fitted in float32; fit another one with --precision")
    return wanted or TORCH
