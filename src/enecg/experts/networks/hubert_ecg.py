"""HuBERT-ECG's network: ECG-FM's, with other convolutions, on the twelve leads as one long signal.

HuBERT: Hsu et al., IEEE/ACM TASLP 2021; on ECGs: Coppola et al., medRxiv 2024.11.14.24317328.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from enecg.experts.networks import ecg_fm as ecgfm
from enecg.experts.networks.staged import Staged
from enecg.experts.networks.transformer import rename

if TYPE_CHECKING:
    from enecg.experts.weights import State

DECIMATION: Final = 5  # from 500 to 100 Hz, once the leads are joined

# Names in the package transformers, and those of ECG-FM's file, which is a model of the same kind.
_NAMES: Final = (
    (r"^(feature_extractor\.conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"^(feature_extractor\.conv_layers\.\d+)\.layer_norm\.", r"\1.2."),
    (r"^feature_projection\.layer_norm\.", "layer_norm."),
    (r"^feature_projection\.projection\.", "post_extract_proj."),
    (r"^encoder\.pos_conv_embed\.conv\.", "conv_pos.pos_conv.0."),
    (r"^(encoder\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"^(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"^(encoder\.layers\.\d+)\.feed_forward\.intermediate_dense\.", r"\1.fc1."),
    (r"^(encoder\.layers\.\d+)\.feed_forward\.output_dense\.", r"\1.fc2."),
)


class HubertEcg(Staged, ecgfm.EcgFm):
    """The encoder; the embedding is the mean of the tokens of the joined leads.

    Args:
        shape: sizes; of the convolutions only their `channels`.
        kernels: samples that each convolution sees.
        strides: of each convolution.
    """

    def __init__(self, shape: ecgfm.EcgFmShape, kernels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__(shape)
        for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            before = shape.channels if i else 1
            feature = ecgfm.Feature(before, shape.channels, first=i == 0)
            feature.conv = nn.Conv1d(before, shape.channels, kernel, stride=stride, bias=False)
            self.features.append(feature)

    @staticmethod
    @override
    def first(signal: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Signals `[window, lead, sample]` at 500 Hz to `[window, 1, lead * sample / 5]`."""
        return join(signal)[:, None]

    @override
    def core(self, seen: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """Joined leads `[window, 1, sample]` to `[window, width]`."""
        tokens, _ = self.tokens(seen, torch.full_like(length, seen.shape[-1]))
        return tokens.mean(1)


def join(signal: torch.Tensor) -> torch.Tensor:
    """Leads `[window, lead, sample]` behind one another, decimated as a whole, `[window, lead * sample / 5]`.

    The filter of the decimation rings over the borders of leads, as it does in the authors' code.
    """
    from scipy.signal import decimate

    joined = signal.flatten(1).cpu().numpy().astype(np.float64)
    slower = np.ascontiguousarray(decimate(joined, DECIMATION, axis=-1), dtype=np.float32)
    return torch.from_numpy(slower).to(signal.device)


def arrange(state: Mapping[str, torch.Tensor]) -> State:
    """The tensors of a published file under the names of `HubertEcg`."""
    return ecgfm.arrange(rename(state, _NAMES))
