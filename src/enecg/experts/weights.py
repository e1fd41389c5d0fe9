"""Weights from files: read without running code, checked by hash, and loaded key by key."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enecg.errors import WeightsError
from enecg.files import writing

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

# The two spellings of torch's weight norm: (magnitude, direction).
_WEIGHT_NORM = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)

# What reading a damaged pickle has been seen to raise.
_DAMAGE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    AssertionError,
    struct.error,
)


@dataclass(frozen=True)
class LoadReport:
    """The keys of a file that a strict load used and ignored."""

    used: tuple[str, ...]
    ignored: tuple[str, ...]


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raise `WeightsError` unless the file is there and is the published one."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights; fetch it first")
    found = sha256_of(path)
    if found != expected:
        raise WeightsError(f"{path}: sha256 is {found[:12]}…, not {expected[:12]}…; delete the file and fetch it again")


def cache_folder() -> Path:
    """Where converted weights are kept: `ENECG_CACHE`, else the user's cache folder."""
    base = os.environ.get("ENECG_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enecg"


def load_state(
    path: Path,
    *,
    sha256: str | None = None,
    inside: str = "",
    strip: str = "",
    allow: Sequence[Callable[..., Any] | tuple[Callable[..., Any], str]] = (),
    cache: Path | None = None,
) -> State:
    """Tensors of a published file by key, on the CPU; weight norm of either spelling is folded into plain weights.

    A safetensors file is read as it is; a torch file (.pt, .pth, .ckpt) is read without running code. A large torch
    file that also holds an optimiser's state is better converted once: with `cache` and `sha256`, the tensors are
    kept there as safetensors and read from there the next time.

    Args:
        path: the file.
        sha256: what it must be.
        inside: key of a torch file that holds the tensors, such as `"model"` or `"state_dict"`; dots descend.
        strip: prefix that is cut off the keys that have it, such as `"module."`.
        allow: classes and functions that a torch file may name beside tensors, as `torch.serialization.safe_globals`.
        cache: folder to keep a converted copy in, such as `cache_folder()`.

    Raises:
        WeightsError: missing, changed, truncated, needing code to run, or of another layout.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights; fetch it first")
    converted = None
    if cache is not None and sha256 is not None and not is_safetensors(path):
        recipe = hashlib.sha256(json.dumps([sha256, inside, strip]).encode()).hexdigest()
        converted = cache / "converted" / f"{recipe}.safetensors"
        if converted.is_file():
            return _arrange(_read(converted, "", ()), "", converted)
    if sha256 is not None:
        check_sha256(path, sha256)
    state = _arrange(_read(path, inside, allow), strip, path)
    if converted is not None:
        save_state(state, converted, {"source": path.name, "source_sha256": str(sha256)})
    return state


def load_strict(module: torch.nn.Module, state: Mapping[str, torch.Tensor], ignore: Sequence[str] = ()) -> LoadReport:
    """Copy `state` into `module`; every key of both must find its partner of the same shape.

    Args:
        module: where to.
        state: tensors by key; converted to the module's dtype.
        ignore: patterns (`"quantizer.*"`) of keys in the file that are known not to be needed.

    Raises:
        WeightsError: names the keys that are missing, left over, or of another shape.
    """
    wanted = module.state_dict()
    ignored = tuple(key for key in state if key not in wanted and any(fnmatchcase(key, pattern) for pattern in ignore))
    given = {key: tensor for key, tensor in state.items() if key not in ignored}
    shapes = [
        f"{key} {list(tensor.shape)} instead of {list(wanted[key].shape)}"
        for key, tensor in given.items()
        if key in wanted and tensor.shape != wanted[key].shape
    ]
    faults = [
        f"{what}: {_listed(keys)}"
        for what, keys in (
            ("missing", [key for key in wanted if key not in given]),
            ("left over", [key for key in given if key not in wanted]),
            ("of another shape", shapes),
        )
        if keys
    ]
    if faults:
        name = type(module).__name__
        raise WeightsError(f"weights do not fit {name}; {'; '.join(faults)}; it is not the file that the card names")
    module.load_state_dict(given)
    return LoadReport(tuple(given), ignored)


def save_state(state: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save

    data = save({key: tensor.detach().contiguous().clone() for key, tensor in state.items()}, dict(metadata or {}))
    with writing(path) as file:
        file.write(data)


def fold_weight_norm(state: Mapping[str, torch.Tensor]) -> State:
    """Replace each pair of magnitude and direction by the weight that they stand for (Salimans, Kingma 2016)."""
    folded = dict(state)
    for magnitude, direction in _WEIGHT_NORM:
        for key in [key for key in state if key == magnitude or key.endswith(f".{magnitude}")]:
            base = key.removesuffix(magnitude)
            if base + direction not in state:
                continue
            g, v = folded.pop(key), folded.pop(base + direction)
            square = v.square()
            for axis in range(v.ndim):
                if g.ndim == 0 or g.shape[axis] == 1:
                    square = square.sum(axis, keepdim=True)
            folded[f"{base}weight"] = v * (g / square.sqrt())
    return folded


def is_safetensors(path: Path) -> bool:
    """By content: eight bytes of length, then a JSON object."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_config(path: Path, inside: str) -> dict[str, Any]:
    """The configuration that a torch file holds under `inside` (dots descend); `WeightsError` when it holds none."""
    config = _read(path, inside, ())
    if not isinstance(config, Mapping):
        raise WeightsError(f"{path}: {inside!r} holds {type(config).__name__}, not a configuration")
    return dict(config)


def _read(path: Path, inside: str, allow: Sequence[Any]) -> Any:
    """Return the tensors of a file of either format."""
    if is_safetensors(path):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path}: truncated or damaged ({error}); delete it and fetch it again") from None
    content = _unpickle(path, allow)
    for name in inside.split(".") if inside else ():
        if not isinstance(content, Mapping) or name not in content:
            there = _listed([str(key) for key in content]) if isinstance(content, Mapping) else type(content).__name__
            raise WeightsError(f"{path}: nothing is stored under {inside!r}; it holds {there}")
        content = content[name]
    return content


def _unpickle(path: Path, allow: Sequence[Any]) -> Any:
    """A torch file's content, read so that nothing in it can run."""
    import torch

    with path.open("rb") as file:
        head = file.read(4)
    zipped = head == b"PK\x03\x04"
    if not zipped and not head.startswith(b"\x80"):
        raise WeightsError(f"{path}: neither safetensors nor a torch file; delete it and fetch it again")
    if zipped and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path}: truncated; delete it and fetch it again")
    try:
        with torch.serialization.safe_globals(list(allow)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # what it cannot read raises below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except _DAMAGE as error:
        named = re.findall(r"GLOBAL ([\w.]+)", str(error))
        reason = re.search(r"WeightsUnpickler error:\s*([^\n]+)", str(error))
        if named or (
            reason is not None and reason[1].startswith("Unsupported operand")
        ):  # not what tensors are stored by
            what = f"would run code ({', '.join(named)})" if named else "could run code"
            raise WeightsError(
                f"{path}: loading it {what}, refused; get it as safetensors or as a plain state dict"
            ) from None
        why = reason[1] if reason is not None else (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: truncated or damaged ({why}); delete it and fetch it again") from None


def _arrange(content: Any, strip: str, path: Path) -> State:
    """Check that it is a state dict, cut the prefix off, fold weight norm."""
    import torch

    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds {type(content).__name__}, not tensors by name")
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise WeightsError(f"{path}: not only tensors: {_listed(others)}; are the weights under one of these keys?")
    # Copies: tensors that stay mapped to a file change or crash with it.
    state = {str(key).removeprefix(strip): tensor.clone() for key, tensor in content.items()}
    if len(state) < len(content):
        raise WeightsError(f"{path}: two keys become one when {strip!r} is cut off")
    return fold_weight_norm(state)


def _listed(keys: Sequence[str]) -> str:
    """At most eight of the keys, and how many more there are."""
    more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
    return ", ".join(keys[:8]) + more
