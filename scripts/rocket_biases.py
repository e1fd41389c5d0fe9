"""Fit the thresholds of the expert `rocket` to training signals; `src/enecg/experts/data` holds those of PTB-XL.

MiniRocket: Dempster, Schmidt, Webb, KDD 2021.

    python scripts/rocket_biases.py SIGNALS.npy OUT.npy

SIGNALS.npy holds float32 `[window, lead, sample]`, prepared as the card says.
"""

from __future__ import annotations

import sys

import numpy as np

from enecg.experts.analytic.rocket import KERNELS, SEED, STEP, Kernels, _quantise, _Room, _side_by_side, _weights, draw


def fit_biases(signal: np.ndarray, kernels: Kernels, seed: int = SEED, windows: int = 16) -> np.ndarray:
    """Return the thresholds of all features: quantiles of each kernel's convolution on windows drawn at random.

    The golden ratio spreads the quantiles evenly.

    The paper draws one window per kernel; several make the thresholds those of a population. The packaged thresholds
    are those of all windows of PTB-XL's folds 1-8 in the manifest's order, with `draw(SEED, 1000)`.

    Args:
        signal: float32 `[window, lead, sample]`, prepared as the card says.
        kernels: from `draw`.
        seed: for the choice of windows.
        windows: how many are drawn for each kernel.

    Returns:
        float16 `[feature]`, in the unit of the signal.
    """
    import torch

    rng = np.random.default_rng([seed, 1])
    levels = (np.arange(1, KERNELS * kernels.thresholds.sum() + 1) * (np.sqrt(5) + 1) / 2) % 1
    biases = np.empty(len(levels), np.float16)
    start, taps = 0, torch.from_numpy(_weights())
    for step, (dilation, count) in enumerate(zip(kernels.dilations, kernels.thresholds, strict=True)):
        weights = _side_by_side(torch.from_numpy(kernels.leads[step]), taps)
        for kernel in range(KERNELS):
            drawn = _quantise(torch.from_numpy(signal[rng.integers(0, len(signal), windows)]))
            values = _Room(drawn, 1).convolve(weights[kernel : kernel + 1], int(dilation)).numpy() / STEP
            biases[start : start + count] = np.quantile(values, levels[start : start + count])
            start += count
    return biases


if __name__ == "__main__":
    signals = np.load(sys.argv[1])
    np.save(sys.argv[2], fit_biases(signals, draw(SEED, signals.shape[-1])))
