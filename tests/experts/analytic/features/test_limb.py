"""Limb leads that were scaled one by one: the algebra gives their scales back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dipole import dipole, regular
from hypothesis import given
from hypothesis import strategies as st

from enecg.experts.analytic.features.limb import LEADS, frontal, limb_scale
from enecg.experts.inputs import Batch, InputSpec, prepare
from enecg.leads import LIMB, LIMB_ALGEBRA
from enecg.recording import Recording

SPEC = InputSpec(scaling="none")


def batch_of(recording: Recording, *, in_mv: bool = True) -> Batch:
    batch = prepare(recording, SPEC)
    return batch if in_mv else replace(batch, scale=np.full_like(batch.scale, np.nan))


def vectors(draw: tuple[float, ...]) -> Recording:
    """Six limb leads of a vector that moves at random, in mV."""
    rng = np.random.default_rng(int(1e6 * draw[0]))
    first, second = rng.normal(size=(2, 1000))
    limb = np.array([a * first + b * second for a, b in (LIMB_ALGEBRA[lead] for lead in LIMB)])
    return Recording(limb.astype(np.float32), 100, LIMB)


@given(
    seed=st.floats(0, 1),
    factors=st.lists(st.floats(0.2, 5), min_size=LEADS, max_size=LEADS),
    absent=st.sets(st.integers(0, LEADS - 1), max_size=3),
)
def test_scales_are_recovered_exactly_from_three_leads_on(seed: float, factors: list[float], absent: set[int]) -> None:
    batch = batch_of(vectors((seed,)), in_mv=False)
    true = np.array(factors)
    batch.signal[0, :LEADS] /= true[:, None]
    batch.signal[0, list(absent)], batch.present[0, list(absent)] = 0, False
    limb = limb_scale(batch)
    there = batch.present[0, :LEADS]
    assert limb.known[0]
    assert not limb.in_mv[0]
    assert limb.misfit[0] < 1e-6
    np.testing.assert_allclose(limb.scale[0, there], true[there] / true[there].mean(), rtol=1e-3)


def test_two_leads_need_millivolts() -> None:
    recording = vectors((0.5,)).select(["I", "aVF"])
    absent = [LIMB.index(lead) for lead in ("II", "III", "aVR", "aVL")]
    for in_mv in (True, False):
        batch = batch_of(recording, in_mv=in_mv)
        batch.signal[0, absent], batch.present[0, absent] = 0, False
        limb = limb_scale(batch)
        assert limb.known[0] == limb.in_mv[0] == in_mv
        assert np.isnan(limb.misfit[0])


def test_leads_that_do_not_belong_together_have_no_scale() -> None:
    noise = np.random.default_rng(0).normal(size=(6, 1000)).astype(np.float32)
    limb = limb_scale(batch_of(Recording(noise, 100, LIMB), in_mv=False))
    assert not limb.known[0]
    assert limb.misfit[0] > 0.5
    assert (limb.scale == 1).all()


def test_a_lead_with_its_electrodes_swapped_has_no_scale() -> None:
    recording = vectors((0.25,))
    recording.signal[1] *= -1
    assert not limb_scale(batch_of(recording, in_mv=False)).known[0]


@pytest.mark.parametrize(("wrong", "believed"), [(1.0, True), (1.03, True), (0.7, False)])
def test_millivolts_that_contradict_the_algebra_are_not_believed(wrong: float, believed: bool) -> None:
    recording = vectors((0.75,))
    recording.signal[4] *= wrong
    limb = limb_scale(batch_of(recording))
    assert limb.known[0]
    assert limb.in_mv[0] == believed


def test_the_frontal_vector_is_that_of_the_dipole() -> None:
    recording = dipole(regular(60))
    present = np.ones((1, LEADS), bool)
    whole = frontal(recording.signal[None, :LEADS], present)[0]
    np.testing.assert_allclose(whole[0], recording.lead("I"), atol=1e-5)
    np.testing.assert_allclose(whole[1], recording.lead("aVF") * 2 / np.sqrt(3), atol=1e-5)
    present[0, [0, 2, 3]] = False
    np.testing.assert_allclose(frontal(recording.signal[None, :LEADS], present)[0], whole, atol=1e-5)
