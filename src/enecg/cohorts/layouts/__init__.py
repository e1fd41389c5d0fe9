"""Data sets and manifests with a layout of their own: each module here is one layout, and this is their only list.

To add a layout, write `enecg/cohorts/layouts/<key>.py` with

- `NAME`: for people, such as `"PTB-XL"`;
- `recognises(at, head) -> bool`: whether the layout takes a folder (`head` is empty), or a file by its first bytes;
- `table(at, content) -> DataFrame`: one row a recording, with the columns of a manifest (`enecg.cohorts.manifest`);
  `content` is that of the file, empty for a folder. It raises `InputError` or `ValueError` with a reason in one line.

`Cohort.load`, `enecg predict` and the contract tests find it by themselves.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

from enecg.files import Place

if TYPE_CHECKING:
    import pandas as pd


class Layout(Protocol):
    """What a layout's module offers."""

    NAME: str

    def recognises(self, at: Place, head: bytes) -> bool:
        """Return whether a folder, or a file with these first bytes, has this layout."""

    def table(self, at: Place, content: bytes) -> pd.DataFrame:
        """Return the manifest."""


def layouts() -> dict[str, Layout]:
    """Return all layouts by the names of their modules, sorted."""
    keys = sorted(info.name for info in iter_modules(__path__))
    return {key: cast(Layout, import_module(f"{__name__}.{key}")) for key in keys}


def layout_of(at: Place, head: bytes = b"") -> Layout | None:
    """Return the layout that takes a folder, or a file by its first bytes; None when none does."""
    if not head and not (isinstance(at, Path) and at.is_dir()):
        return None
    return next((layout for layout in layouts().values() if layout.recognises(at, head)), None)


def names() -> str:
    """Return the names of all layouts for a message."""
    return ", ".join(layout.NAME for layout in layouts().values())
