"""The real DICOM ECG that pydicom brings, and changes to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402

REAL = get_testdata_file("waveform_ecg.dcm")


def changing(folder: Path) -> Callable[[Callable[[Any], None]], Path]:
    """A function that writes the real file, changed by a function, into a folder."""

    def write(change: Callable[[Any], None]) -> Path:
        dataset = pydicom.dcmread(REAL)
        change(dataset)
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        path = folder / "changed.dcm"
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=little, force_encoding=True)
        return path

    return write


def rhythm(dataset: Any) -> Any:
    """The multiplex group of the rhythm."""
    return dataset.WaveformSequence[0]


def set_rhythm(**values: object) -> Callable[[Any], None]:
    """A change of fields of the rhythm's group."""

    def change(dataset: Any) -> None:
        for name, value in values.items():
            setattr(rhythm(dataset), name, value)

    return change
