"""Exporting an expert's network to ONNX once, for the runtimes that are faster than torch on a processor.

An export is kept in the cache under the expert's fingerprint, and compared with torch before it is used for the first
time with a runtime on a machine: a network that answers otherwise is refused, with the difference that was measured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, suppress
from copy import deepcopy
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from enecg.errors import InputError, require
from enecg.experts.inputs import Batch
from enecg.experts.runtimes.runtime import Runtime
from enecg.experts.runtimes.sessions import Behind, Onnx, OpenVino, Session, Torch
from enecg.experts.sample import sample_batch
from enecg.experts.weights import cache_folder
from enecg.files import writing

if TYPE_CHECKING:
    import torch

    from enecg.experts.base import Card, Expert

EXPORT: Final = 2  # raised whenever the same network would be written to another file
PACKAGES: Final = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}  # of the runtimes
QUANTISED: Final = ("MatMulInteger", "DynamicQuantizeMatMul")


@runtime_checkable
class Runnable(Protocol):
    """An expert whose network another session can run."""

    card: Card
    module: torch.nn.Module
    device: torch.device

    @property
    def fingerprint(self) -> str:
        """The key of its embeddings."""

    def with_session(self, runtime: Runtime, session: Session) -> Expert:
        """Return a copy whose network is run by `session`."""


def run_with(expert: Expert, runtime: Runtime) -> Expert:
    """Return the expert with its network run by another runtime or in another precision.

    An expert without a network is returned as it is. ONNX Runtime and OpenVINO run on the processor, and the expert
    then keeps no torch module.

    Raises:
        MissingExtra: the runtime is not installed.
        InputError: the network cannot be run so, or would give other numbers.
    """
    own = getattr(expert, "using", None)
    if own is not None:  # until version 0.1 an expert could say itself how it is run
        warnings.warn(
            f"{expert.card.name}: Expert.using is replaced by with_session(runtime, session) and will not be called "
            "from version 0.3 on",
            DeprecationWarning,
            stacklevel=2,
        )
        other: Expert = own(runtime)
        return other
    if not isinstance(expert, Runnable):
        return expert
    if runtime.name != "torch":
        return expert.with_session(runtime, open_session(expert, runtime))
    session = Torch(expert.module, expert.device, runtime.precision)
    if not runtime.is_exact:  # some processors' kernels are far off
        compared(expert, session, runtime)
    return expert.with_session(runtime, session)


def open_session(expert: Runnable, runtime: Runtime) -> Session:
    """The network of an expert in ONNX Runtime or OpenVINO, exported and compared where that was not done before.

    Raises:
        MissingExtra: a package is not installed.
        InputError: the network cannot be exported or quantised, or gives other numbers there.
    """
    from enecg.experts.networks.staged import Staged

    package = PACKAGES[runtime.name]
    require(package, runtime.name, f"--runtime {runtime.name}")
    folder = cache_folder() / "exports" / key_of(expert)
    path = folder / "float32.onnx"
    if not path.is_file():
        _export(expert, path)
    if runtime.precision == "int8":
        path = _quantised(expert.card.name, path)
    by_window = runtime.precision == "int8"
    session: Session = Onnx(path, by_window) if runtime.name == "onnx" else OpenVino(path, runtime.precision)
    if isinstance(expert.module, Staged):
        session = Behind(type(expert.module).first, session)
    return compared(expert, session, runtime)


def compared(expert: Runnable, session: Session, runtime: Runtime) -> Session:
    """The session, if its embeddings are near enough to those of torch in float32 on this processor.

    What was found is kept with the exports, and not computed again.

    Raises:
        InputError: they are not.
    """
    package = PACKAGES[runtime.name]
    kept = cache_folder() / "exports" / key_of(expert) / f"{str(runtime).replace(' ', '-')}.json"
    facts = {"expert": expert.card.name, package: metadata.version(package), "processor": processor()}
    if not _is_known(kept, facts):
        away = _compare(expert, session, runtime)
        with suppress(OSError):  # where nothing can be kept, it is compared each time
            kept.parent.mkdir(parents=True, exist_ok=True)
            with writing(kept) as file:
                file.write(json.dumps({**facts, "difference": away}, indent=1).encode())
    return session


def key_of(expert: Runnable) -> str:
    """Of the export of an expert, by what makes it."""
    made_by = [EXPORT, expert.fingerprint, metadata.version("torch")]
    return f"{expert.card.name}-{hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]}"


def processor() -> str:
    """What the processor calls itself: another one may have other instructions, and round otherwise."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _is_known(path: Path, facts: dict[str, str]) -> bool:
    """Whether the same comparison was passed before."""
    if not path.is_file():
        return False
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(known, dict) and all(known.get(name) == fact for name, fact in facts.items())


def _compare(expert: Runnable, session: Session, runtime: Runtime) -> float:
    """How far the embeddings are from those of torch; `InputError` when it is too far."""
    import torch

    batch, cpu = example(expert), torch.device("cpu")
    exact = Torch(_on_cpu(expert), cpu)(batch.signal, batch.length)
    away = difference(session(batch.signal, batch.length), exact)
    if not away <= runtime.tolerance:
        remedy = "leave --precision out" if runtime.name == "torch" else "run it with --runtime torch"
        raise InputError(
            f"{expert.card.name}: in {runtime} its embeddings are {away:.1e} away from those of torch, more "
            f"than {runtime.tolerance:.0e}; {remedy}"
        )
    return away


def example(expert: Runnable) -> Batch:
    """Three windows to compare on: one that is full, one that is filled up, and one with a silent lead."""
    batch = sample_batch(expert.card.input)
    chosen = batch[np.array([0, int(np.argmin(batch.length)), 0])]
    if chosen.signal.shape[1] > 1:
        chosen.signal[2, 1], chosen.present[2, 1] = 0, False
    return chosen


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Largest relative L2 difference of embeddings `[window, dim]`; infinite where only one of them is known."""
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    one, other = np.nan_to_num(one.astype(np.float64)), np.nan_to_num(other.astype(np.float64))
    apart = np.linalg.norm(one - other, axis=1)
    return float((apart / np.maximum(np.linalg.norm(other, axis=1), 1e-12)).max())


def _on_cpu(expert: Runnable) -> torch.nn.Module:
    module = expert.module if expert.device.type == "cpu" else deepcopy(expert.module).cpu()
    return module.eval()


def _export(expert: Runnable, path: Path) -> None:
    """Write the network as an ONNX file for batches of any size, whole or not at all."""
    import torch

    require("onnxscript", "onnx", "exporting a network")
    name, batch = expert.card.name, example(expert)
    why = getattr(expert.module, "not_exported", "")
    if why:
        raise _unexported(name, why)
    given = torch.from_numpy(batch.signal), torch.from_numpy(np.ascontiguousarray(batch.length))
    network, given = _exportable(_on_cpu(expert), given)
    count = torch.export.Dim("window")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work, _quietly():
        try:
            program = torch.onnx.export(
                network, given, dynamo=True, verbose=False, input_names=["signal", "length"],
                output_names=["enecg_embedding"], dynamic_shapes=({0: count}, {0: count}),
            )  # fmt: skip
            assert program is not None  # it is, with dynamo
            program.save(str(Path(work) / path.name), external_data=False)
        except torch.onnx.OnnxExporterError as error:
            raise _unexported(name, _reason(error)) from None
        (Path(work) / path.name).replace(path)


def _unexported(name: str, why: str) -> InputError:
    return InputError(f"{name}: its network cannot be exported to ONNX ({why}); run it with --runtime torch")


def _exportable(
    module: torch.nn.Module, given: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """The part of a network that is exported, and what is given to it."""
    from enecg.experts.networks.staged import Core, Staged

    if not isinstance(module, Staged):
        return module, given
    return Core(module).eval(), (module.first(*given), given[1])


def _reason(error: BaseException) -> str:
    """The first cause of an exporter's error, in its own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0].split(" (")[0]


@contextmanager
def _quietly() -> Generator[None]:
    """Silence the exporter, which reports deprecations and prints the whole network where it fails."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _quantised(name: str, path: Path) -> Path:
    """The export with its matrix products in int8, written where that was not done before."""
    to = path.with_name("int8.onnx")
    if to.is_file():
        return to
    onnx: Any = require("onnx", "onnx", "--precision int8")
    quantization: Any = require("onnxruntime.quantization", "onnx", "--precision int8")
    with tempfile.TemporaryDirectory(dir=path.parent) as work, _quietly():
        made = Path(work) / to.name
        quantization.quantize_dynamic(str(path), str(made), op_types_to_quantize=["MatMul", "Gemm"])
        if not any(node.op_type in QUANTISED for node in onnx.load(str(made)).graph.node):
            raise InputError(f"{name}: its network has no matrix products to compute in int8; leave --precision out")
        made.replace(to)
    return to
