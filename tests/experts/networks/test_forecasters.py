from __future__ import annotations

import pytest
import torch

from enecg.experts.networks.dlinear import DLinear, DLinearShape
from enecg.experts.networks.timesnet import TimesNet, TimesNetShape

SHAPE = TimesNetShape(samples=60, ahead=12, width=4, hidden=6, layers=1, periods=2, kernels=2)
LENGTH = torch.tensor([60])


@pytest.fixture
def timesnet() -> TimesNet:
    torch.manual_seed(0)
    return TimesNet(SHAPE).eval()


def waves(*periods: float) -> torch.Tensor:
    """One window, one lead for each period."""
    time = torch.arange(60)
    return torch.stack([torch.sin(2 * torch.pi * time / period) for period in periods])[None]


def test_timesnet_reads_a_recording_alone_as_among_others_of_other_periods(timesnet: TimesNet) -> None:
    others = torch.cat([waves(10, 12, 15), waves(5, 6, 7.5), waves(20, 30, 60)])
    with torch.inference_mode():
        together = timesnet(others, LENGTH.expand(3))
        for row in range(3):
            assert torch.equal(timesnet(others[row : row + 1], LENGTH)[0], together[row])


def test_a_timesnet_layer_with_a_convolution_that_copies_doubles_the_series() -> None:
    """What is folded and unfolded is the series itself, whatever the period: weights sum to 1, the rest is added."""
    from enecg.experts.networks.timesnet import TimesBlock

    layer = TimesBlock(SHAPE).eval()
    layer.conv = torch.nn.Identity()
    series = torch.randn(3, 72, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(series, torch.ones(3)), 2 * series)


def test_silent_leads_do_not_choose_periods_and_are_unknown(timesnet: TimesNet) -> None:
    signal = waves(10, 12, 15)
    signal = torch.cat([signal, torch.zeros(1, 2, 60)], dim=1)
    with torch.inference_mode():
        embedding = timesnet(signal, LENGTH).view(5, -1)
        alone = timesnet(signal[:, :3], LENGTH).view(3, -1)
    torch.testing.assert_close(embedding[:3], alone)
    assert embedding[3:].isnan().all()


def test_dlinear_splits_a_line_into_trend_alone() -> None:
    """Away from its ends a moving average keeps a line, so nothing is left for the season."""
    module = DLinear(DLinearShape(samples=60, ahead=1, average=5))
    with torch.no_grad():
        module.Linear_Seasonal.weight.zero_()[:, 2:-2] = 1
        module.Linear_Seasonal.bias.zero_()
        module.Linear_Trend.weight.zero_()[:, 30] = 1
        module.Linear_Trend.bias.zero_()
        line = torch.arange(60.0).expand(1, 2, 60)
        torch.testing.assert_close(module.forecast(line), torch.full((1, 2, 1), 30.0))


def test_dlinear_marks_silent_leads_unknown() -> None:
    module = DLinear(DLinearShape(samples=60, ahead=3, average=5)).eval()
    signal = torch.cat([waves(10, 12), torch.zeros(1, 1, 60)], dim=1)
    with torch.inference_mode():
        embedding = module(signal, LENGTH).view(3, 3)
    assert embedding[:2].isfinite().all()
    assert embedding[2].isnan().all()
