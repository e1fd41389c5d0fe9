"""The contract of readers: kept by every format, and broken by readers with deliberate mistakes."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from enecg.cohorts.listing import listed
from enecg.errors import ReadError
from enecg.leads import STANDARD
from enecg.readers import registry
from enecg.readers.contract import Sample, breaches
from enecg.readers.registry import FORMATS, Format
from enecg.recording import Recording

TWELVE = tuple(STANDARD)
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def alone(home: Path, *paths: Path) -> Path:
    """Copy files into a folder of their own; returns the first."""
    home.mkdir()
    for path in paths:
        shutil.copy(path, home)
    return home / paths[0].name


def rewritten(home: Path, path: Path, change: Callable[[bytes], bytes]) -> Path:
    """A changed copy of a file in a folder of its own."""
    home.mkdir()
    to = home / path.name
    content = change(path.read_bytes())
    assert content != path.read_bytes()
    to.write_bytes(content)
    return to


def wfdb(data: Path, home: Path) -> Sample:
    path = alone(home / "a", data / "A0001.hea", data / "A0001.mat")
    return Sample("wfdb", path, 500, TWELVE, 0.283)


def dicom(data: Path, home: Path) -> Sample:
    return Sample("dicom", alone(home / "a", data / "ge_muse_909.dcm"), 500, TWELVE, 1.02968)


def muse(data: Path, home: Path) -> Sample:
    path = alone(home / "a", data / "ge_muse_909.xml")
    unit = re.compile(rb"<LeadAmplitudeUnits>[^<]*</LeadAmplitudeUnits>")
    silent = rewritten(home / "b", path, lambda raw: unit.sub(b"", raw))
    return Sample("muse", path, 500, EIGHT, 1.02968, silent_unit=silent)


def philips(data: Path, home: Path) -> Sample:
    return Sample("philips", alone(home / "a", data / "philips_sierra_103.xml"), 500, TWELVE, 0.87)


def edf(data: Path, home: Path) -> Sample:
    path = alone(home / "a", data / "cpsc_a0001.edf")

    def without_units(raw: bytes) -> bytes:
        signals = int(raw[252:256])
        begin = 256 + signals * (16 + 80)
        return raw[:begin] + b" " * (8 * signals) + raw[begin + 8 * signals :]

    return Sample("edf", path, 500, TWELVE, 0.283, silent_unit=rewritten(home / "b", path, without_units))


def csv(data: Path, home: Path) -> Sample:
    text = "I,II\n" + "".join(f"{np.sin(i / 40):.4f},{np.cos(i / 40):.4f}\n" for i in range(5000))
    paths = [home / name / "x.csv" for name in "abc"]
    for path, head in zip(paths, ("# rate: 500\n# unit: mV\n", "# unit: mV\n", "# rate: 500\n"), strict=True):
        path.parent.mkdir()
        path.write_text(head + text)
    return Sample("csv", paths[0], 500, ("I", "II"), 1.0, paths[1], paths[2])


SAMPLES = {"wfdb": wfdb, "dicom": dicom, "muse": muse, "philips": philips, "edf": edf, "csv": csv}


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == {each.key for each in FORMATS}


@pytest.mark.parametrize("key", SAMPLES)
def test_readers_keep_the_contract(key: str, shared_data: Path, tmp_path: Path) -> None:
    sample = SAMPLES[key](shared_data / "formats", tmp_path)
    assert breaches(sample) == []
    assert [item.at for item in listed([sample.path.parent]).items] == [sample.path]


# A reader of a toy format, and the same with mistakes.


class Toy:
    """`TOY <rate or -> <unit or ->`, a line end, and samples of one lead as int16 in that unit."""

    NAME, ENDINGS, PACKAGES, RECOGNISED_BY = "Toy", (".toy",), (), "content"

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        return head.startswith(b"TOY ")

    @staticmethod
    def fields(path: Path) -> tuple[str, str, np.ndarray]:
        head, _, body = path.read_bytes().partition(b"\n")
        words = head.decode("latin-1").split()
        if len(words) != 3 or not body or len(body) % 2:
            raise ReadError(f"{path}: is damaged; export it again")
        return words[1], words[2], np.frombuffer(body, "<i2").astype(float)

    def read(self, path: Path, rate: float | None, unit: str | None) -> Recording:
        stated_rate, stated_unit, samples = self.fields(path)
        return Recording(
            samples[None] * self.factor(path, stated_unit, unit),
            self.rate(path, stated_rate, rate),
            ("II",),
            source=str(path),
        )

    def rate(self, path: Path, stated: str, given: float | None) -> float:
        if stated == "-" and given is None:
            raise ReadError(f"{path}: no rate is stated")
        if stated != "-" and given not in (None, self.number(path, stated)):
            raise ReadError(f"{path}: states another rate")
        return given or self.number(path, stated)

    @staticmethod
    def number(path: Path, text: str) -> float:
        if not text.isdigit() or not 20 <= float(text) <= 1e5:
            raise ReadError(f"{path}: {text!r} is no rate")
        return float(text)

    def factor(self, path: Path, stated: str, given: str | None) -> float:
        if stated == "-" and given is None:
            raise ReadError(f"{path}: no unit is stated")
        if stated != "-" and given not in (None, stated):
            raise ReadError(f"{path}: states another unit")
        unit = given if stated == "-" else stated
        if unit not in ("uV", "mV"):
            raise ReadError(f"{path}: unit {unit!r} is not known")
        return 1e-3 if unit == "uV" else 1.0


class GuessesRate(Toy):
    def rate(self, path: Path, stated: str, given: float | None) -> float:
        return given or (500.0 if stated == "-" else self.number(path, stated))


class GuessesUnit(Toy):
    def factor(self, path: Path, stated: str, given: str | None) -> float:
        return 1e-3


class WrongUnit(Toy):
    def factor(self, path: Path, stated: str, given: str | None) -> float:
        return 1e3 * super().factor(path, stated, given)


class WrongEnding(Toy):
    ENDINGS = (".TOY",)


class TakesAll(Toy):
    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        return path.suffix == ".toy"


class Crashes(Toy):
    @staticmethod
    def fields(path: Path) -> tuple[str, str, np.ndarray]:
        head, _, body = path.read_bytes().partition(b"\n")
        _, rate, unit = head.decode("latin-1").split()
        return rate, unit, np.frombuffer(body, "<i2").astype(float)


class Writes(Toy):
    def read(self, path: Path, rate: float | None, unit: str | None) -> Recording:
        path.with_suffix(".cache").write_bytes(b"x")
        return super().read(path, rate, unit)


class SharesState(Toy):
    def read(self, path: Path, rate: float | None, unit: str | None) -> Recording:
        self.path = path
        time.sleep(0.002)
        return super().read(self.path, rate, unit)


@pytest.fixture
def toy(tmp_path: Path) -> Sample:
    samples = (1000 * np.sin(np.arange(3000) / 40)).astype("<i2").tobytes()
    for name, head in (("a", "500 uV"), ("b", "- uV"), ("c", "500 -")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.toy").write_bytes(f"TOY {head}\n".encode() + samples)
    paths = [tmp_path / name / "x.toy" for name in "abc"]
    return Sample("toy", paths[0], 500, ("II",), 0.999, paths[1], paths[2])


@pytest.mark.parametrize(
    ("reader", "rules"),
    [
        (Toy, set()),
        (GuessesRate, {"stated_rate"}),
        (GuessesUnit, {"stated_unit"}),
        (WrongUnit, {"content"}),
        (WrongEnding, {"recognised"}),
        (TakesAll, {"recognised"}),
        (Crashes, {"damage"}),
        (Writes, {"nothing_written"}),
        (SharesState, {"threads"}),
    ],
)
def test_mistakes_are_found(reader: type[Toy], rules: set[str], toy: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    made = reader()
    names = ("NAME", "ENDINGS", "PACKAGES", "RECOGNISED_BY", "recognises", "read")
    module = SimpleNamespace(**{name: getattr(made, name) for name in names})
    monkeypatch.setattr(registry, "FORMATS", (Format("toy", module), *FORMATS))
    found = breaches(toy)
    assert rules <= {each.rule for each in found}
    assert bool(found) == bool(rules), found


def test_a_format_is_found_in_folders_and_messages_by_itself(toy: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(**{name: getattr(Toy(), name) for name in dir(Toy) if not name.startswith("_")})
    monkeypatch.setattr(registry, "FORMATS", (Format("toy", module), *FORMATS))
    assert [item.at for item in listed([toy.path.parent]).items] == [toy.path]
    assert registry.names().startswith("Toy, ") and ".toy" in registry.endings()
