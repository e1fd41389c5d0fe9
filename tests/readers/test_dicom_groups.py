"""DICOM: multiplex groups, channel status, skew, padding and lengths, as variations of a real file."""

from __future__ import annotations

import copy
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import REAL, changing, rhythm, set_rhythm

from enecg import read
from enecg.errors import ReadError
from enecg.leads import STANDARD

pydicom = pytest.importorskip("pydicom")


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """The real file, changed by a function, at a new place."""
    return changing(tmp_path)


def set_channel(number: int, **values: object) -> Callable[[Any], None]:
    def change(dataset: Any) -> None:
        for name, value in values.items():
            setattr(rhythm(dataset).ChannelDefinitionSequence[number], name, value)

    return change


def regroup(*rows: list[int], samples: int = 10000, offsets: tuple[float, ...] = ()) -> Callable[[Any], None]:
    """The rhythm in several groups, each of some channels, of the first `samples`, and from an offset in ms on."""

    def change(dataset: Any) -> None:
        whole, groups = rhythm(dataset), []
        raw = np.frombuffer(whole.WaveformData, "<i2").reshape(-1, 12)
        for number, chosen in enumerate(rows):
            group = copy.deepcopy(whole)
            group.ChannelDefinitionSequence = [whole.ChannelDefinitionSequence[row] for row in chosen]
            group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(chosen), samples
            group.WaveformData = np.ascontiguousarray(raw[:samples, chosen]).tobytes()
            group.MultiplexGroupTimeOffset = offsets[number] if offsets else 0
            groups.append(group)
        dataset.WaveformSequence = groups

    return change


def hemodynamic_without_leads(dataset: Any) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.2.1"
    for channel in rhythm(dataset).ChannelDefinitionSequence:
        channel.ChannelSourceSequence[0].CodeValue, channel.ChannelSourceSequence[0].CodeMeaning = "109016", "Pressure"
    dataset.WaveformSequence = dataset.WaveformSequence[:1]


def beat_alone(dataset: Any) -> None:
    dataset.WaveformSequence = dataset.WaveformSequence[1:]


def all_disconnected(dataset: Any) -> None:
    for channel in rhythm(dataset).ChannelDefinitionSequence:
        channel.ChannelStatus = "DISCONNECTED"


def lead_called_twice(dataset: Any) -> None:
    rhythm(dataset).ChannelDefinitionSequence[0].ChannelSourceSequence[0].CodeMeaning = "Lead V3"


@pytest.mark.parametrize("status", ["DISCONNECTED", "INVALID", ["OK", "TEST DATA"], "UNCALIBRATED"])
def test_a_channel_without_voltages_is_left_out(changed: Callable[..., Path], status: Any) -> None:
    recording = read(changed(set_channel(1, ChannelStatus=status)))
    assert recording.leads == tuple(name for name in STANDARD if name != "II")
    assert recording.notes["status_II"].startswith("left out: II; the file says that the channel is ")


def test_a_questionable_channel_is_read_with_a_note(changed: Callable[..., Path]) -> None:
    recording = read(changed(set_channel(1, ChannelStatus="QUESTIONABLE")))
    np.testing.assert_array_equal(recording.signal, read(REAL).signal)
    assert recording.notes == {"status_II": "the file says that channel II is QUESTIONABLE"}


@pytest.mark.parametrize("skew", [{"ChannelTimeSkew": "0.1"}, {"ChannelSampleSkew": "100"}, {"ChannelTimeSkew": "-0.1"},
                                  {"ChannelTimeSkew": "0.1", "ChannelSampleSkew": "100"}])  # fmt: skip
def test_a_skew_moves_its_channel(changed: Callable[..., Path], skew: dict[str, str]) -> None:
    recording, whole = read(changed(set_channel(1, **skew))), read(REAL)
    moved = recording.lead("II")
    if skew.get("ChannelTimeSkew") == "-0.1":
        np.testing.assert_array_equal(moved[:-100], whole.lead("II")[100:])
        assert np.isnan(moved[-100:]).all()
    else:
        np.testing.assert_array_equal(moved[100:], whole.lead("II")[:-100])
        assert np.isnan(moved[:100]).all()
    assert "100 of its samples are left out" in recording.notes["skew_II"]
    np.testing.assert_array_equal(recording.lead("V1"), whole.lead("V1"))


def test_parts_of_a_sample_are_the_turns_of_a_multiplexer(changed: Callable[..., Path]) -> None:
    recording = read(changed(set_channel(1, ChannelSampleSkew="0.25")))
    np.testing.assert_array_equal(recording.signal, read(REAL).signal)


def test_simultaneous_groups_are_joined_in_the_file_s_order(changed: Callable[..., Path]) -> None:
    recording = read(changed(regroup([6, 7, 8, 9, 10, 11], [0, 1, 2, 3, 4, 5])))
    assert recording.leads == (*STANDARD[6:], *STANDARD[:6])
    np.testing.assert_array_equal(recording.select(STANDARD).signal, read(REAL).signal)


def test_groups_one_after_the_other_are_not_joined(changed: Callable[..., Path]) -> None:
    recording = read(changed(regroup([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], offsets=(0.0, 10000.0))))
    assert recording.leads == STANDARD[:6]
    assert recording.notes["groups"].startswith("left out: other multiplex groups: V1, V2, V3, V4, V5, V6")
    assert "from 10 s" in recording.notes["groups"]


def test_a_second_group_of_the_same_leads_is_named(changed: Callable[..., Path]) -> None:
    recording = read(changed(regroup([0, 1, 2], [0, 1, 2])))
    assert recording.leads == STANDARD[:3]
    assert recording.notes["groups"].startswith("left out: ")


@pytest.mark.parametrize(
    ("columns", "offsets"), [(4, ()), (4, (0.0, 2500.0, 5000.0, 7500.0)), (2, ()), (3, (0.0, 3333.0, 6666.0))]
)
def test_a_printed_page_is_refused(changed: Callable[..., Path], columns: int, offsets: tuple[float, ...]) -> None:
    rows = [list(range(start, start + 12 // columns)) for start in range(0, 12, 12 // columns)]
    path = changed(regroup(*rows, samples=10_000 // columns, offsets=offsets))
    with pytest.raises(ReadError, match="as on a printed page"):
        read(path)


def test_hemodynamic_with_ecg_leads(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.2.1"

    np.testing.assert_array_equal(read(changed(change)).signal, read(REAL).signal)


def test_a_group_without_leads_is_named(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        regroup([0, 1, 2], [3], offsets=(0.0, 0.0))(dataset)
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.2.1"
        source = dataset.WaveformSequence[1].ChannelDefinitionSequence[0].ChannelSourceSequence[0]
        source.CodeValue, source.CodeMeaning = "109016", "Aortic pressure"

    recording = read(changed(change))
    assert recording.leads == STANDARD[:3]
    assert recording.notes == {"groups": "left out: other multiplex groups: Aortic pressure (10 s at 1000 Hz from 0 s)"}


def test_zeros_are_samples_though_zero_is_the_padding_value(changed: Callable[..., Path]) -> None:
    def change(dataset: Any) -> None:
        group = rhythm(dataset)
        raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
        raw[200:400] = 0  # 0.2 s of padding in all channels
        raw[1000:1500, 3] = 0  # a lead that touches zero
        group.WaveformData = raw.tobytes()
        group.add_new("WaveformPaddingValue", "OW", bytes(2))

    recording = read(changed(change))
    assert np.isnan(recording.signal[:, 200:400]).all()
    assert np.isnan(recording.signal).sum() == 12 * 200
    assert recording.notes == {"padding_I": "not used: 2400 samples of I to V6 with the padding value 0"}


@pytest.mark.parametrize(("kind", "bits"), [("SL", 32), ("US", 16), ("SB", 8), ("UB", 8)])
def test_other_kinds_of_samples(changed: Callable[..., Path], kind: str, bits: int) -> None:
    dtype = {"SL": "<i4", "US": "<u2", "SB": "<i1", "UB": "<u1"}[kind]
    stored = np.random.default_rng(1).integers(0, 100, (10000, 12)).astype(dtype)

    def change(dataset: Any) -> None:
        group = rhythm(dataset)
        group.WaveformSampleInterpretation, group.WaveformBitsAllocated = kind, bits
        group["WaveformData"].VR = "OB" if bits == 8 else "OW"
        group.WaveformData = stored.tobytes()

    np.testing.assert_allclose(read(changed(change)).signal, stored.T * 1.25e-3, rtol=1e-6)


def test_a_lead_that_is_scaled_unlike_the_others_is_named(changed: Callable[..., Path]) -> None:
    recording = read(changed(set_channel(7, ChannelSensitivity=9.75)))
    assert recording.notes == {"scales": "the step or offset of V2 is not that of the other leads; check these leads"}


def deflated(dataset: Any, path: Path, extra: bytes = b"") -> Path:
    """The data set as a deflated file, with `extra` behind it, as pydicom writes none."""
    buffer = io.BytesIO()
    meta, dataset.file_meta = dataset.file_meta, pydicom.dataset.FileMetaDataset()
    pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    head = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(head, meta)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(
        bytes(128) + b"DICM" + head.getvalue() + packer.compress(buffer.getvalue() + extra) + packer.flush()
    )
    return path


def test_a_deflated_file_is_read_within_a_bound_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = deflated(pydicom.dcmread(REAL), tmp_path / "x.dcm")
    np.testing.assert_array_equal(read(path).signal, read(REAL).signal)
    with pytest.raises(ReadError, match="truncated: its deflated data set ends early"):
        path.write_bytes(path.read_bytes()[:-1000])
        read(path)
    monkeypatch.setattr("enecg.readers.dicom._MOST_INFLATED", 1 << 20)
    with pytest.raises(ReadError, match="inflates to more than 1 MB"):
        read(deflated(pydicom.dcmread(REAL), tmp_path / "bomb.dcm", bytes(1 << 20)))


@pytest.mark.parametrize("implicit", [True, False])
def test_without_preamble_and_meta_information(tmp_path: Path, implicit: bool) -> None:
    dataset = pydicom.dcmread(REAL)
    dataset.preamble, dataset.file_meta = None, pydicom.dataset.FileMetaDataset()
    pydicom.dcmwrite(tmp_path / "IM000001", dataset, implicit_vr=implicit, little_endian=True)
    assert (tmp_path / "IM000001").read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read(tmp_path / "IM000001").signal, read(REAL).signal)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("lost", [2, 16, 24])
def test_samples_that_were_lost_do_not_go_unseen(tmp_path: Path, implicit: bool, lost: int) -> None:
    """pydicom fills the samples up with the elements behind them."""
    path = tmp_path / "x.dcm"
    pydicom.dcmwrite(path, pydicom.dcmread(REAL), implicit_vr=implicit, little_endian=True, force_encoding=True)
    content = path.read_bytes()
    path.write_bytes(content[:100_000] + content[100_000 + lost :])
    with pytest.raises(ReadError, match="damaged DICOM file"):
        read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_channel(1, ChannelTimeSkew="0.1", ChannelSampleSkew="7"), "contradict each other"),
        (set_channel(1, ChannelTimeSkew="99"), "longer than the recording"),
        (set_channel(1, ChannelSensitivity="0"), "a step per bit of 0 is impossible"),
        (set_channel(1, ChannelSensitivityCorrectionFactor="0"), "a step per bit of 0 is impossible"),
        (set_rhythm(NumberOfWaveformSamples=9999), "a waveform of 240000 bytes, its header promises 239976"),
        (set_rhythm(NumberOfWaveformChannels=11), "a group of 11 channels has 12 channel definitions"),
        (set_rhythm(WaveformBitsAllocated=8), "samples of kind SS in 8 bits do not exist"),
        (hemodynamic_without_leads, "a hemodynamic waveform without an ECG lead"),
        (all_disconnected, "hold no voltages"),
        (beat_alone, "average beats and no rhythm"),
        (lead_called_twice, "lead I by code"),
    ],
)
def test_a_contradiction_is_refused(changed: Callable[..., Path], change: Callable[[Any], None], message: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(changed(change))
    assert message in str(caught.value)
