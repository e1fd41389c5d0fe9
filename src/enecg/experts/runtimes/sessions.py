"""A network ready to run, in each of the runtimes: arrays in, embeddings out."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from enecg.errors import InputError, require

if TYPE_CHECKING:
    import torch


class Session(ABC):
    """A network ready to run; several threads may call it at a time, each call is computed by one."""

    @abstractmethod
    def __call__(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Signals float32 `[window, lead, sample]` and lengths int64 `[window]` to float32 `[window, dim]`."""


class Torch(Session):
    """The module itself.

    Args:
        module: maps signal and length to `[window, dim]`.
        device: where it is.
        precision: float32, or bfloat16 by autocast, in which norms and sums stay in float32.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device, precision: str = "float32") -> None:
        self.module, self.device, self.precision = module, device, precision

    @override
    def __call__(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        import torch

        self.module.eval()  # it may have been changed since
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.precision == "bfloat16":
                stack.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            elif self.device.type == "cuda":  # by default its convolutions round to 10 bits, and choose kernels freely
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
            moved = self._there(signal), self._there(length)
            embedded: np.ndarray = self.module(*moved).float().cpu().numpy()
        return embedded

    def _there(self, array: np.ndarray) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class Behind(Session):
    """A session that sees what a first stage makes of the signals."""

    def __init__(self, first: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], session: Session) -> None:
        self._first, self._session = first, session

    @override
    def __call__(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            seen = self._first(torch.from_numpy(signal), torch.from_numpy(np.ascontiguousarray(length))).numpy()
        return self._session(seen, length)


class Exported(Session):
    """A session on an exported network. It goes to other processes with the whole file, which they may not have.

    Args:
        model: the ONNX file, or what is in it.
    """

    def __init__(self, model: Path | bytes) -> None:
        self._model = model

    def content(self) -> bytes:
        """The exported network."""
        return self._model if isinstance(self._model, bytes) else self._model.read_bytes()


class Onnx(Exported):
    """ONNX Runtime on the processor.

    Args:
        model: an exported network.
        by_window: give it one window at a time. Whole numbers are scaled by the largest of the batch, so
            that a window's embedding would depend on its mates.
    """

    def __init__(self, model: Path | bytes, by_window: bool = False) -> None:
        super().__init__(model)
        package: Any = require("onnxruntime", "onnx", "--runtime onnx")
        options = package.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        source = model if isinstance(model, bytes) else str(model)
        self._session = package.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]  # some networks do not ask for the length
        self._by_window = by_window

    def __reduce__(self) -> tuple[type[Onnx], tuple[bytes, bool]]:
        return Onnx, (self.content(), self._by_window)

    @override
    def __call__(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        if self._by_window:
            return np.concatenate([self._run(signal[i : i + 1], length[i : i + 1]) for i in range(len(signal))])
        return self._run(signal, length)

    def _run(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        given = {"signal": np.ascontiguousarray(signal), "length": np.ascontiguousarray(length)}
        embedded: np.ndarray = self._session.run(None, {name: given[name] for name in self._names})[0]
        return embedded


class OpenVino(Exported):
    """OpenVINO on the processor.

    Args:
        model: an exported network.
        precision: float32 or bfloat16, which it would take by itself where there is hardware for it.

    Raises:
        InputError: the processor has no bfloat16.
    """

    def __init__(self, model: Path | bytes, precision: str = "float32") -> None:
        super().__init__(model)
        self._precision = precision
        package: Any = require("openvino", "openvino", "--runtime openvino")
        core = package.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise InputError("--precision bfloat16: this processor has no instructions for it; leave it out")
        streams = os.cpu_count() or 1  # calls at a time, at most
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": streams,
            "NUM_STREAMS": streams,  # so that each call is computed by one thread
            "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same cores
        }
        read = core.read_model(model if isinstance(model, bytes) else str(model))
        self._compiled = core.compile_model(read, "CPU", settings)
        self._names = [port.get_any_name() for port in self._compiled.inputs]
        self._mine = threading.local()

    def __reduce__(self) -> tuple[type[OpenVino], tuple[bytes, str]]:
        return OpenVino, (self.content(), self._precision)

    @override
    def __call__(self, signal: np.ndarray, length: np.ndarray) -> np.ndarray:
        if not hasattr(self._mine, "request"):
            self._mine.request = self._compiled.create_infer_request()
        given = {"signal": np.ascontiguousarray(signal), "length": np.ascontiguousarray(length)}
        result = self._mine.request.infer({name: given[name] for name in self._names})
        return np.array(result[0], np.float32)  # a copy: the buffer is used again
