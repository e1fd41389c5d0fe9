"""The runtimes and precisions of an expert's network, and what they mean for its embeddings.

In float32 the runtimes agree to float noise, as two machines or two batch sizes do: an export that is further than
`NOISE` from torch is refused. So in float32 it does not matter which runtime made an embedding: one store, one bundle.
A lower precision makes other embeddings; these have a fingerprint of their own and never mix with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from enecg.errors import InputError

Name = Literal["torch", "onnx", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]

# What each runtime offers. torch's own quantisation is on its way out; bfloat16 has no kernels in ONNX Runtime.
PRECISIONS: Final[dict[str, tuple[str, ...]]] = {
    "torch": ("float32", "bfloat16"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16"),
}
NOISE: Final = 3e-5  # largest relative difference of an embedding that counts as float noise; measured: up to 1.3e-5
LOSS: Final = 0.1  # largest one that a lower precision may bring; measured: up to 0.05


@dataclass(frozen=True)
class Runtime:
    """A runtime and a precision.

    Attributes:
        name: torch; or onnx (ONNX Runtime) or openvino, which run an exported network on the processor.
        precision: float32; bfloat16; or int8, matrix products in whole numbers, scaled anew for each window.

    Raises:
        InputError: there is no such runtime, or it does not offer that precision.
    """

    name: str = "torch"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.name not in PRECISIONS:
            raise InputError(f"--runtime {self.name}: there is no such runtime; choose one of {', '.join(PRECISIONS)}")
        if self.precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise InputError(f"--precision {self.precision}: there is no such precision; choose one of {known}")
        if self.precision not in PRECISIONS[self.name]:
            able = " or ".join(name for name, offered in PRECISIONS.items() if self.precision in offered)
            raise InputError(f"--precision {self.precision}: not with --runtime {self.name}; choose --runtime {able}")

    @property
    def is_exact(self) -> bool:
        """Whether its embeddings are those of torch in float32, but for noise."""
        return self.precision == "float32"

    @property
    def tolerance(self) -> float:
        """Largest relative difference from torch in float32 with which a network is accepted."""
        return NOISE if self.is_exact else LOSS

    @classmethod
    def every(cls) -> list[Runtime]:
        """All that there are."""
        return [cls(name, precision) for name, offered in PRECISIONS.items() for precision in offered]

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"

    @classmethod
    def parse(cls, text: str | Runtime) -> Runtime:
        """`"openvino"`, or `"openvino bfloat16"` as `str` gives it."""
        return text if isinstance(text, Runtime) else cls(*text.split(maxsplit=1))


TORCH: Final = Runtime()
