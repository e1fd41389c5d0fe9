"""The types of the JSON documents against what the program writes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enecg.documents import significant


@given(st.floats())
def test_significant_digits(value: float) -> None:
    """Six digits, no NaN and no infinity, and never further away than half of the last digit."""
    found = significant(value)
    if not math.isfinite(value):
        assert found is None
    else:
        assert found is not None
        assert found == pytest.approx(value, rel=5.1e-6, abs=5e-324)


def test_fewer_digits() -> None:
    assert significant(1234.5678, 4) == 1235.0
    assert significant(-0.00012345678) == -0.000123457
