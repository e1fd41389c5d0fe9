"""The expert `rocket`: random convolutions over all leads (MiniRocket), read by a linear head.

Dempster, Schmidt, Webb: MiniRocket, KDD 2021, in its multivariate form. Each of 84 fixed kernels of nine taps (six
weigh -1, three weigh 2) is dilated, summed over a few leads, and turned into shares of samples above a threshold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from typing_extensions import override

from enecg.experts.base import Card, Expert, Weights
from enecg.experts.inputs import Batch, InputSpec
from enecg.experts.registry import Entry, register

if TYPE_CHECKING:
    import torch

KERNELS: Final = 84
TAPS: Final = 9
FEATURES: Final = 9_996  # 84 kernels, 119 thresholds each
SEED: Final = 0
STEP: Final = 4096  # signals are rounded to 1/4096 of a standard deviation
LIMIT: Final = 32.0  # a z-scored lead of n samples never leaves +-sqrt(n - 1), here 31.6
CHUNK: Final = 8  # windows convolved at a time: keeps the work in the cache

FILE: Final = "rocket.safetensors"

CARD: Final = Card(
    name="rocket",
    title="Random convolutions over all leads (MiniRocket)",
    source="Dempster, Schmidt, Webb: MiniRocket, KDD 2021, doi:10.1145/3447548.3467231; written anew in torch",
    licence="Apache-2.0",
    dim=FEATURES,
    parameters=FEATURES,
    input=InputSpec(band=(0.5, 40.0)),
    corpora=("PTB-XL",),
    weights=Weights(file=FILE, sha256="2a3c7f6cf0b8d53c23c03d82fa931ad11102160b70cc51b40a76dd1751fdb8ae", bytes=20_160),
    padding="zeros",
    cost_ms=7.4,
    notes="Kernels, dilations and leads are drawn by a seed. The thresholds are quantiles of convolutions of PTB-XL "
    "signals (folds 1-8, CC BY 4.0, Wagner et al. 2020), without labels. Convolutions are computed exactly, so the "
    "embedding is the same bit for bit in any batch and on any device. Where a padded recording leaves no sample to "
    "a kernel, its number is unknown (NaN). Suits a ridge head.",
)


@dataclass(frozen=True)
class Kernels:
    """What the seed draws.

    Attributes:
        dilations: int `[dilation]`, in samples between taps.
        thresholds: int `[dilation]`; thresholds per kernel at this dilation.
        leads: bool `[dilation, kernel, lead]`; the leads that a kernel sums over.
    """

    dilations: np.ndarray
    thresholds: np.ndarray
    leads: np.ndarray


def _weights() -> np.ndarray:
    """Of the taps, float32 `[kernel, tap]`: three of the nine weigh 2, the others -1."""
    found = np.full((KERNELS, TAPS), -1, np.float32)
    found[np.arange(KERNELS)[:, None], list(combinations(range(TAPS), 3))] = 2
    return found


def draw(seed: int, samples: int, leads: int = 12, features: int = FEATURES) -> Kernels:
    """Draw dilations and leads as the paper does: dilations spread evenly on a log scale, at most 32 of them up to
    the window's length, and 1 to 9 leads per kernel, few more often than many.

    Args:
        seed: the same seed, the same kernels.
        samples: length of the window.
        leads: number of leads.
        features: numbers in the embedding, a multiple of 84.
    """
    each = features // KERNELS
    tried = min(each, 32)
    exponents = np.logspace(0, np.log2((samples - 1) / (TAPS - 1)), tried, base=2)
    dilations, count = np.unique(exponents.astype(int), return_counts=True)
    thresholds = (count * (each / tried)).astype(int)
    thresholds[np.arange(each - thresholds.sum()) % len(dilations)] += 1
    uniform = np.random.default_rng(seed).random
    chosen = np.floor(2 ** (uniform((len(dilations), KERNELS)) * np.log2(min(leads, 9) + 1)))
    rank = uniform((len(dilations), KERNELS, leads)).argsort(-1).argsort(-1)
    return Kernels(dilations, thresholds, rank < chosen[..., None])


class _Room:
    """Where the windows of a chunk are convolved: memory that is used again for each dilation.

    Args:
        signal: `[window, lead, sample]` in whole numbers, of the type and on the device to compute with.
        kernels: at a time.
    """

    def __init__(self, signal: torch.Tensor, kernels: int = KERNELS) -> None:
        import torch

        windows, leads, samples = signal.shape
        self.margin = (samples - 1) // (TAPS - 1) * (TAPS // 2)  # what the longest kernel reaches
        self.padded = torch.nn.functional.pad(signal, (self.margin, self.margin))
        self.seen = signal.new_empty(windows, leads * TAPS, samples)
        self.summed = signal.new_empty(windows, kernels, samples)
        self.above = torch.empty(0, dtype=torch.bool, device=signal.device)

    def convolve(self, weights: torch.Tensor, dilation: int) -> torch.Tensor:
        """Dilated convolution, zeros beyond both ends: `[window, kernel, sample]`, until the next call.

        The samples under the taps are put side by side, so that a convolution is one matrix product.

        Args:
            weights: from `_side_by_side`, `[kernel, lead * tap]`.
            dilation: samples between taps.
        """
        import torch

        windows, rows, samples = self.seen.shape
        shape = (windows, rows // TAPS, TAPS, samples)
        steps = (self.padded.stride(0), self.padded.stride(1), dilation, 1)
        first = self.margin - dilation * (TAPS // 2)
        self.seen.view(shape).copy_(self.padded.as_strided(shape, steps, first))
        return torch.matmul(weights, self.seen, out=self.summed)

    def hits(self, values: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
        """Samples above each threshold `[window, kernel, threshold]`, of `[window, kernel, sample]`.

        Args:
            values: on a processor they are compared by numpy, which is the faster.
            thresholds: `[kernel, threshold]`.
        """
        import torch

        windows, kernels, samples = values.shape
        shape = (windows, kernels, thresholds.shape[1], samples)
        size = windows * thresholds.numel() * samples
        if len(self.above) < size:
            self.above = self.above.new_empty(size)
        above = self.above[:size].view(shape)
        left, right = values[:, :, None, :], thresholds[None, :, :, None]
        if values.is_cpu:
            np.greater(left.numpy(), right.numpy(), out=above.numpy())
        else:
            torch.gt(left, right, out=above)
        # One 64-bit word holds eight comparisons; at most 255 words add up without a carry between their bytes.
        words = above.view(torch.int64).sum(-1, keepdim=True)
        hits: torch.Tensor = words.view(torch.uint8).sum(-1)
        return hits


def _side_by_side(leads: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Weights of kernels that sum over some leads: `[kernel, lead * tap]` in the type of the taps.

    Args:
        leads: which a kernel sums over, bool `[kernel, lead]`.
        taps: `[kernel, tap]`.
    """
    return (leads[:, :, None] * taps[:, None, :]).flatten(1)


def _quantise(signal: torch.Tensor) -> torch.Tensor:
    """Whole multiples of 1/`STEP`, as integers in floating point.

    Sums of them stay below 2**24 (9 leads, tap weights of 12 in sum, `LIMIT`), so float32 adds them without
    rounding: every order of summation, batch size and device gives the same bits.
    """
    return (signal.clamp(-LIMIT, LIMIT) * STEP).round()


def _shares(
    room: _Room, values: torch.Tensor, biases: torch.Tensor, reach: int, odd: int, length: np.ndarray
) -> torch.Tensor:
    """Share of samples above each threshold: `[window, kernel, sample]` to `[window, kernel * threshold]`.

    Every other kernel uses only samples whose taps are all inside the recording; padding counts for none.

    Args:
        room: to compare in.
        values: convolutions; overwritten.
        biases: `[kernel, threshold]`.
        reach: samples from the centre to the outermost tap.
        odd: the first of the kernels that stay inside (0 or 1).
        length: samples of each window that are not padding.
    """
    import torch

    count, kernels, samples = values.shape
    outside = -torch.inf
    inside = values[:, odd::2]
    inside[..., :reach] = outside
    inside[..., samples - reach :] = outside
    for window in np.flatnonzero(length < samples):
        values[window, :, length[window] :] = outside
        inside[window, :, max(length[window] - reach, 0) :] = outside
    hits = room.hits(values, biases)
    margin = torch.zeros(kernels, dtype=torch.int64)
    margin[odd::2] = 2 * reach
    valid = (torch.from_numpy(length)[:, None] - margin).clamp(min=0).to(hits.device)
    return (hits / valid[..., None]).reshape(count, -1)


class RocketExpert(Expert):
    """MiniRocket with kernels fixed by seed and thresholds that come with the package.

    Args:
        biases: thresholds `[feature]`; the packaged ones by default.
        device: where to compute; a GPU when there is one by default.
    """

    card = CARD

    def __init__(self, biases: np.ndarray | None = None, device: str | None = None) -> None:
        import torch

        from enecg.experts.network import pick_device

        self.device = pick_device(device)
        self.kernels = draw(SEED, CARD.input.samples)
        self.biases = packaged_biases() if biases is None else np.asarray(biases, np.float32)
        taps = torch.from_numpy(_weights())
        self._weights = [_side_by_side(torch.from_numpy(each), taps).to(self.device) for each in self.kernels.leads]
        sizes = [KERNELS * int(count) for count in self.kernels.thresholds]
        parts = torch.split(torch.from_numpy(self.biases * STEP).to(self.device), sizes)
        self._biases = [part.view(KERNELS, -1) for part in parts]

    @override
    def encode(self, batch: Batch) -> np.ndarray:
        """Shares of samples above the thresholds, float32 `[window, 9996]` in [0, 1]."""
        import torch

        exact = torch.get_float32_matmul_precision() == "highest"  # else products would be rounded to fewer bits
        kind = torch.float32 if exact else torch.float64
        out = np.empty((len(batch), FEATURES), np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), CHUNK):
                rows = slice(start, start + CHUNK)
                signal = _quantise(torch.from_numpy(batch.signal[rows]).to(self.device, kind))
                out[rows] = self._embed(signal, batch.length[rows].astype(np.int64)).cpu().numpy()
        return out

    def _embed(self, signal: torch.Tensor, length: np.ndarray) -> torch.Tensor:
        import torch

        room, shares = _Room(signal), []
        for step, dilation in enumerate(self.kernels.dilations):
            values = room.convolve(self._weights[step].to(signal.dtype), int(dilation))
            reach = int(dilation) * (TAPS // 2)
            shares.append(_shares(room, values, self._biases[step], reach, (step + 1) % 2, length))
        return torch.cat(shares, dim=1)

    @override
    def state_hash(self) -> str:
        digest = hashlib.sha256(self.biases.tobytes())
        for array in (self.kernels.dilations, self.kernels.thresholds, self.kernels.leads):
            digest.update(np.ascontiguousarray(array).astype("<i8").tobytes())
        return digest.hexdigest()


@cache
def packaged_biases() -> np.ndarray:
    """The thresholds that come with the package, float32 `[9996]`."""
    from enecg.experts.weights import load_state

    state = load_state(Path(str(files("enecg.experts") / "data" / FILE)), sha256=CARD.weights.sha256)
    biases: np.ndarray = state["biases"].float().numpy()
    return biases


register(Entry("rocket", card=lambda: CARD, create=RocketExpert))
