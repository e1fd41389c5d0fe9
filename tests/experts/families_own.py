"""How each published file is built into a network: whole, and as a toy of the same structure.

One line for each file: its layout, the toy's sizes (old size -> new size) and dropped keys, both builders, the toy's
input, and the keys of the file that no network needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from enecg.experts import dlinear, ecg_jepa, merl, stmem, tempo, timesnet

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Family:
    """One published file.

    Attributes:
        name: of the expert.
        layout: file under `layouts/`.
        build: the network of the published size.
        parameters: as the card says.
        sizes: of the toy, by size in the published file.
        drop: regular expression of the keys that the toy does not have.
        toy: the network of the toy's size.
        shape: of the toy's input, `[lead, sample]`.
        dim: of the toy's embedding.
        needed: a key of the file that the network needs.
    """

    name: str
    layout: str
    build: Callable[[State], torch.nn.Module]
    parameters: int
    sizes: Mapping[int, int]
    drop: str
    toy: Callable[[State], torch.nn.Module]
    shape: tuple[int, int]
    dim: int
    needed: str


_LATE = r"(block|blocks\.|h\.)([2-9]|1\d)\."
_TEMPO_SIZES = {336: 48, 768: 16, 1344: 192, 1024: 64, 2304: 48, 3072: 64, 96: 4, 32256: 96}
_TEMPO_TOY = {"samples": 48, "ahead": 4, "width": 16, "layers": 2, "heads": 4, "places": 64}

FAMILIES = (
    Family(
        "st-mem", "ST-MEM-base", stmem.build, stmem.CARD.parameters,
        {768: 16, 2304: 48, 3072: 64, 75: 5, 32: 8}, _LATE,
        partial(stmem.build, sizes={**stmem.SIZES, "width": 16, "depth": 2, "heads": 4, "hidden": 64, "samples": 30,
                                    "patch": 5}),
        (12, 30), 16, "block1.attn.fn.to_qkv.weight",
    ),
    Family(
        "ecg-jepa", "ECG-JEPA-vitb", ecg_jepa.build, ecg_jepa.CARDS[0].parameters,
        {768: 16, 2304: 48, 3072: 64, 50: 5, 400: 48}, _LATE,
        partial(ecg_jepa.build, sizes={**ecg_jepa.SIZES, "width": 16, "depth": 2, "heads": 4, "hidden": 64,
                                       "samples": 30, "patch": 5}),
        (8, 30), 16, "encoder_blocks.blocks.1.attn.qkv.weight",
    ),
    Family(
        "merl", "MERL-resnet18", merl.build_resnet, merl.RESNET.parameters,
        {64: 4, 128: 6, 256: 8, 512: 10}, "never",
        partial(merl.build_resnet, widths=(4, 6, 8, 10)), (12, 100), 10, "layer2.0.shortcut.0.weight",
    ),
    Family(
        "merl-vit", "MERL-vit_tiny", merl.build_vit, merl.VIT.parameters,
        {192: 16, 576: 48, 768: 64, 50: 5, 100: 6}, _LATE,
        partial(merl.build_vit, sizes={**merl.SIZES, "width": 16, "depth": 2, "heads": 4, "hidden": 64, "samples": 30,
                                       "patch": 5}),
        (12, 30), 16, "to_patch_embedding.weight",
    ),
    Family(
        "tempo", "TEMPO-80M-current-peft", tempo.build, tempo.CARD.parameters, _TEMPO_SIZES, _LATE,
        partial(tempo.build, sizes=_TEMPO_TOY), (12, 48), 48, "gpt2_trend.base_model.model.wpe.weight",
    ),
    Family(
        "tempo-forecast", "TEMPO-80M-current-peft", partial(tempo.build, forecasts=True), tempo.FORECAST.parameters,
        _TEMPO_SIZES, _LATE, partial(tempo.build, forecasts=True, sizes=_TEMPO_TOY), (12, 48), 48,
        "out_layer_season.weight",
    ),
    Family(
        "timesnet-enecg", "TimesNet-EnECG", partial(timesnet.build, sizes=timesnet.ENECG_SIZES),
        timesnet.CARD.parameters, {16: 4, 32: 6, 500: 40, 501: 41}, r"kernels\.[3-5]|model\.[12]",
        partial(timesnet.build, sizes={"samples": 40, "ahead": 1, "width": 4, "hidden": 6, "layers": 1, "periods": 2,
                                       "kernels": 3}),
        (12, 40), 48, "predict_linear.weight",
    ),
    Family(
        "dlinear-enecg", "DLinear-EnECG", partial(dlinear.build, sizes=dlinear.ENECG_SIZES),
        dlinear.CARD.parameters, {500: 40}, "never",
        partial(dlinear.build, sizes={"samples": 40, "ahead": 1, "average": 81}), (12, 40), 12, "Linear_Trend.weight",
    ),
)  # fmt: skip
