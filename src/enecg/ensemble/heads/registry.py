"""The registry of heads: a new head is one module of this package whose classes carry `@register_head`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeVar

from enecg.errors import InputError

if TYPE_CHECKING:
    from enecg.ensemble.heads.base import FittedHead, Head, HeadState

_Class = TypeVar("_Class", bound=type)
_FITTED: dict[str, type[FittedHead]] = {}
_KINDS: dict[str, type[Head]] = {}
_NOT_HEADS = ("base", "registry", "contract")


def register_head(cls: _Class) -> _Class:
    """Register a class of fitted heads by its `type`, or a class of heads by its `kind`: a decorator.

    The `type` of a fitted head is the name of its module, so that a bundle finds it without a list.
    """
    if hasattr(cls, "type"):
        _FITTED[cls.type] = cls
    else:
        _KINDS[cls.kind] = cls  # type: ignore[attr-defined]
    return cls


def restore_head(state: HeadState) -> FittedHead:
    """Return a fitted head of any type from its state; only the module of its own type is imported.

    Raises:
        InputError: the type is not known.
    """
    name = state.meta.get("type")
    if name not in _FITTED and name in _modules():
        import_module(f"{__package__}.{name}")
    if name not in _FITTED:
        raise InputError(f"the bundle holds a head of type {name!r}, which this version of enecg does not know")
    return _FITTED[name].restore(state)


def head_kinds() -> dict[str, type[Head]]:
    """Return all kinds of heads by name; every module of this package is imported."""
    for name in _modules():
        import_module(f"{__package__}.{name}")
    return dict(_KINDS)


def _modules() -> list[str]:
    found = iter_modules(import_module(__package__).__path__)
    return [module.name for module in found if module.name not in _NOT_HEADS]
