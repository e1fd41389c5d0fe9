"""What a gate is: weights that depend on the recording. The registry finds a gate's class by its `type`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np

from enecg.ensemble.combiner import Combiner, Gated
from enecg.ensemble.heads.base import HeadState
from enecg.errors import InputError


class Gate(Protocol):
    """A fitted gate.

    Attributes:
        type: name of its kind in a bundle; the module that defines it has the same name.
        uses_static_weights: whether its answers depend on the combiner's fitted weights.
    """

    type: ClassVar[str]
    uses_static_weights: ClassVar[bool]

    @property
    def trained(self) -> int:
        """Count of the numbers that labels have determined."""

    def gated(self, gate_input: np.ndarray, combiner: Combiner) -> Gated:
        """Return the weights of each recording.

        Args:
            gate_input: float32 `[recording, dim]`; a row of NaN is not known.
            combiner: the static weights.
        """

    def state(self) -> HeadState:
        """Return all that `restore` needs."""

    @classmethod
    def restore(cls, state: HeadState) -> Self:
        """Return the gate from its `state`: the same weights, bit for bit on one machine."""


_Class = TypeVar("_Class", bound=type[Gate])
_GATES: dict[str, type[Gate]] = {}


def register_gate(gate: _Class) -> _Class:
    """Register a class of gates under its `type`: a decorator."""
    _GATES[gate.type] = gate
    return gate


def gate_types() -> list[str]:
    """Return the types of all gates: the modules of this package that define one."""
    package = import_module(__package__)
    return [module.name for module in iter_modules(package.__path__) if module.name != "base"]


def restore_gate(state: HeadState) -> Gate:
    """Return a gate of any type from its state.

    Raises:
        InputError: the type is not known.
    """
    kind = state.meta.get("type")
    if kind not in gate_types():
        raise InputError(f"the bundle holds a gate of type {kind!r}, which this version of enecg does not know")
    import_module(f"{__package__}.{kind}")
    return _GATES[kind].restore(state)


@dataclass(frozen=True)
class GateTest:
    """The effect of a gate on subjects that it was not fitted to.

    Attributes:
        change: relative change of the loss.
        low, high: its 95 % interval over subjects.
    """

    change: float
    low: float
    high: float

    @property
    def helps(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0
