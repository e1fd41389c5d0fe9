"""`prepare`: what an expert gets to see, whatever the recording's rate, leads, length and history."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enecg import InputError, Recording, read
from enecg import signal as dsp
from enecg.experts.inputs import Batch, InputSpec, Step, prepare
from enecg.leads import STANDARD

RATES = (100.0, 128.0, 250.0, 360.0, 500.0, 977.0, 1000.0)
ORDERS = tuple(permutations(("filter", "resample", "window", "scale")))


def recording(
    rate: float = 500.0, seconds: float = 10.0, leads: tuple[str, ...] = STANDARD, seed: int = 0
) -> Recording:
    signal = np.random.default_rng(seed).normal(size=(len(leads), round(rate * seconds))).astype(np.float32)
    return Recording(signal, rate, leads, source="made")


@st.composite
def specs(draw: st.DrawFn) -> InputSpec:
    return InputSpec(
        rate=draw(st.sampled_from([100.0, 240.0, 250.0, 500.0])),
        seconds=draw(st.sampled_from([2.0, 5.0, 10.0])),
        hop_seconds=draw(st.sampled_from([None, 1.0, 2.5])),
        max_windows=draw(st.integers(1, 6)),
        leads=tuple(draw(st.lists(st.sampled_from(STANDARD), min_size=1, max_size=12, unique=True))),
        band=draw(st.sampled_from([None, (0.5, 40.0), (0.05, 47.0)])),
        scaling=draw(st.sampled_from(["none", "lead_zscore", "record_zscore", "lead_minmax", "record_minmax"])),
        resampler=draw(st.sampled_from(["polyphase", "fft", "linear"])),
        steps=draw(st.sampled_from(ORDERS)),
    )


@given(specs(), st.sampled_from(RATES), st.floats(0.5, 25.0))
@settings(deadline=None, max_examples=80)
def test_shapes_whatever_the_order_of_the_steps(spec: InputSpec, rate: float, seconds: float) -> None:
    one = recording(rate, seconds)
    batch = prepare(one, spec)
    hop = spec.hop_seconds or spec.seconds
    expected = (
        1 if one.seconds < spec.seconds else min(spec.max_windows, int((one.seconds - spec.seconds) / hop + 1e-3) + 1)
    )
    assert abs(len(batch) - expected) <= (one.seconds * rate % 1 > 0)
    assert batch.signal.shape == (len(batch), len(spec.leads), spec.samples)
    assert batch.present.shape == batch.scale.shape == (len(batch), len(spec.leads))
    assert (batch.signal.dtype, batch.scale.dtype, batch.present.dtype) == (np.float32, np.float32, bool)
    assert np.isfinite(batch.signal).all()
    assert (batch.scale > 0).all()
    assert batch.present.all()
    assert batch.rate == spec.rate
    length = min(round(one.signal.shape[1] * spec.rate / rate), spec.samples)
    assert batch.length.tolist() == [length] * len(batch)


@given(st.permutations(STANDARD), st.sampled_from(ORDERS))
@settings(deadline=None, max_examples=20)
def test_leads_go_by_name_and_not_by_place(order: list[str], steps: tuple[Step, ...]) -> None:
    one = recording(100.0)
    shuffled = replace(one, signal=one.signal[[STANDARD.index(name) for name in order]], leads=tuple(order))
    spec = InputSpec(steps=steps, band=(0.5, 40.0))
    np.testing.assert_array_equal(prepare(shuffled, spec).signal, prepare(one, spec).signal)


@given(st.sampled_from(ORDERS), st.floats(1.0, 9.9), st.sampled_from(RATES))
@settings(deadline=None, max_examples=40)
def test_padding_stands_behind_and_is_zero(steps: tuple[Step, ...], seconds: float, rate: float) -> None:
    batch = prepare(recording(rate, seconds), InputSpec(steps=steps, scaling="lead_zscore"))
    length = int(batch.length[0])
    assert length == round(round(rate * seconds) * 100 / rate)
    assert not batch.signal[..., length:].any()
    if steps[-1] == "scale":  # the padding does not take part in the scaling
        body = batch.signal[0, :, :length]
        np.testing.assert_allclose(body.mean(axis=1), 0, atol=1e-4)
        np.testing.assert_allclose(body.std(axis=1), 1, atol=1e-4)


def test_scaling_after_windowing_is_each_window_by_itself() -> None:
    one = recording(100.0, 20.0)
    one = replace(one, signal=one.signal * np.linspace(1, 5, 2000, dtype=np.float32))
    late = prepare(one, InputSpec(steps=("filter", "resample", "window", "scale")))
    early = prepare(one, InputSpec(steps=("filter", "resample", "scale", "window")))
    np.testing.assert_allclose(late.signal.std(axis=2), 1, atol=1e-3)
    assert (early.signal.std(axis=2)[0] < early.signal.std(axis=2)[1]).all()
    assert (early.scale[0] == early.scale[1]).all()


@pytest.mark.parametrize("scaling", ["none", "lead_zscore", "record_zscore", "lead_minmax"])
def test_scale_leads_back_to_millivolts(scaling: dsp.Scaling) -> None:
    one = recording(100.0)
    batch = prepare(one, InputSpec(scaling=scaling))
    in_mv = batch.signal[0] * batch.scale[0][:, None]
    np.testing.assert_allclose(np.ptp(in_mv, axis=1), np.ptp(one.signal, axis=1), rtol=1e-4)
    assert np.isnan(prepare(replace(one, amplitude="normalised"), InputSpec(scaling=scaling)).scale).all()


class TestLeads:
    def test_absent_leads_are_zero_and_marked(self) -> None:
        batch = prepare(recording(leads=("V2", "II")), InputSpec(band=(0.5, 40)))
        there = [name in ("II", "V2") for name in STANDARD]
        assert batch.present.tolist() == [there]
        assert batch.signal[0].any(axis=1).tolist() == there

    def test_limb_leads_are_derived_in_mv_only(self) -> None:
        one = recording(100.0, leads=("I", "II"))
        spec = InputSpec(scaling="none")
        batch = prepare(one, spec)
        assert batch.present[0].tolist() == [True] * 6 + [False] * 6
        np.testing.assert_allclose(batch.signal[0, 2], one.signal[1] - one.signal[0], atol=1e-6)
        normalised = prepare(replace(one, amplitude="normalised"), spec)
        assert normalised.present[0].tolist() == [True] * 2 + [False] * 10

    def test_a_flat_lead_counts_as_absent(self) -> None:
        one = recording(100.0)
        signal = one.signal.copy()
        signal[3] = 0.7
        batch = prepare(replace(one, signal=signal), InputSpec(scaling="none"))
        assert batch.present[0].tolist() == [name != "aVR" for name in STANDARD]
        assert not batch.signal[0, 3].any()

    def test_gaps_are_bridged_and_an_empty_lead_is_absent(self) -> None:
        one = recording(100.0)
        signal = one.signal.copy()
        signal[1, 100:110] = np.nan
        signal[7] = np.nan
        batch = prepare(replace(one, signal=signal), InputSpec(scaling="none"))
        assert batch.present[0].tolist() == [name != "V2" for name in STANDARD]
        np.testing.assert_allclose(
            batch.signal[0, 1, 99:111], np.linspace(signal[1, 99], signal[1, 110], 12), rtol=1e-4
        )

    def test_what_is_refused(self) -> None:
        one = recording(leads=("II", "V5"))
        with pytest.raises(InputError, match=r"made: leads missing: I, III.*; it has II, V5"):
            prepare(one, InputSpec(missing="error"))
        with pytest.raises(InputError, match="leads missing: V1; it has II, V5"):
            prepare(one, InputSpec(leads=("V1",)))  # nothing would be left
        with pytest.raises(InputError, match="needs amplitudes in mV; this recording is normalised"):
            prepare(replace(one, amplitude="normalised"), InputSpec(amplitude="mV"))


class TestFilter:
    @pytest.mark.parametrize(
        ("done", "wanted", "filtered"),
        [
            (None, (0.5, 40.0), True),
            ((0.5, 40.0), (0.5, 40.0), False),
            ((0.67, 35.0), (0.5, 40.0), False),
            ((0.05, 150.0), (0.5, 40.0), True),
            ((0.5, 100.0), (0.5, 40.0), True),
            ((0.5, 40.0), (1.0, 40.0), True),
            ((0.5, 40.0), None, False),
        ],
    )
    def test_a_band_is_not_applied_twice(
        self, done: tuple[float, float] | None, wanted: tuple[float, float] | None, filtered: bool
    ) -> None:
        one = replace(recording(100.0), band=done)
        batch = prepare(one, InputSpec(band=wanted, scaling="none"))
        expected = dsp.bandpass(one.signal, 100.0, *wanted) if filtered and wanted else one.signal
        np.testing.assert_allclose(batch.signal[0], expected, atol=1e-6)

    def test_real_recordings_prepared_twice_and_once_agree(self, shared_data: Path) -> None:
        """A PTB-XL record at 500 Hz in mV, prepared as the filtered set was, looks like the one in that set."""
        spec = InputSpec(band=(0.5, 40.0))
        for number in ("01030", "03403", "12846"):
            raw = read(shared_data / "ptbxl_raw_500hz" / f"{number}_hr")
            filtered = read(shared_data / "ptbxl_filtered_100hz" / f"{number[:2]}000" / f"{number}_f100")
            ours, theirs = prepare(raw, spec), prepare(filtered, spec)
            for one, other in zip(ours.signal[0], theirs.signal[0], strict=True):
                assert np.corrcoef(one, other)[0, 1] > 0.98
            assert np.isnan(theirs.scale).all()
            assert np.isfinite(ours.scale).all()


class TestSpec:
    def test_the_key_changes_with_every_field(self) -> None:
        changes: dict[str, object] = {
            "rate": 250.0, "seconds": 5.0, "hop_seconds": 5.0, "max_windows": 3, "leads": ("II",), "missing": "error",
            "band": (0.5, 40.0), "order": 2, "scaling": "none", "eps": 1e-3, "ddof": 1, "resampler": "fft",
            "steps": ("resample", "filter", "window", "scale"), "amplitude": "mV", "notch": 50.0, "baseline": 0.4,
            "design": "fir",
        }  # fmt: skip
        assert changes.keys() == InputSpec.__dataclass_fields__.keys()
        keys = {InputSpec(**{name: value}).key for name, value in changes.items()}  # type: ignore[arg-type]
        assert len(keys | {InputSpec().key}) == len(changes) + 1
        assert InputSpec().key == InputSpec().key

    def test_what_is_no_spec(self) -> None:
        with pytest.raises(ValueError, match="steps must name each"):
            InputSpec(steps=("filter", "resample", "window"))
        with pytest.raises(ValueError, match="not a whole number of samples"):
            InputSpec(rate=100.0, seconds=2.555)


class TestBatch:
    def test_join_and_cut(self) -> None:
        spec = InputSpec(seconds=5.0)
        parts = [prepare(recording(seconds=seconds, seed=int(seconds)), spec) for seconds in (4.0, 10.0, 20.0)]
        whole = Batch.join(parts)
        assert len(whole) == 1 + 2 + 4
        for name in ("signal", "present", "scale", "length"):
            np.testing.assert_array_equal(getattr(whole[1:3], name), getattr(parts[1], name))
        assert whole.length.tolist() == [400] + [500] * 6

    def test_shared_work_is_done_once(self) -> None:
        batch, calls = prepare(recording(), InputSpec()), []

        def compute(seen: Batch) -> int:
            calls.append(seen)
            return len(seen)

        assert batch.once("peaks", compute) == batch.once("peaks", compute) == 1
        assert calls == [batch]
        assert batch[:1].once("peaks", compute) == 1  # a part has its own
        assert len(calls) == 2
