"""The filters' own parameters reach them through a band; what is said of a clip that is too short is true."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from mm.errors import InputError
from mm.temporal import Band, from_band, make_filter

CAUSAL = ("butter-causal", "iir-causal")


def test_taps_are_the_length_of_the_response_to_an_impulse() -> None:
    # The paper's 30 taps are 31 here, so that the delay is whole frames.
    for taps, reach in ((30, 15), (31, 15), (61, 30)):
        impulse = torch.zeros(201, 1, dtype=torch.float64)
        impulse[100] = 1
        response = from_band(Band(0.5, 7.5, 30, "fir", taps=taps)).filter_all(impulse).squeeze(1)
        heard = torch.nonzero(response.abs() > 1e-12).squeeze(1)
        assert (int(heard[0]), int(heard[-1])) == (100 - reach, 100 + reach)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_order_is_scipy_s(order: int) -> None:
    filter_ = from_band(Band(2, 5, 30, "butter-causal", order=order))
    for frequency in (1.0, 2.0, 3.0, 5.0, 8.0):
        b, a = scipy.signal.butter(order, [2, 5], "bandpass", fs=30)
        _, expected = scipy.signal.freqz(b, a, worN=[frequency], fs=30)
        assert filter_.gain(frequency) == pytest.approx(complex(expected[0]), abs=1e-9)


def test_a_higher_order_is_steeper() -> None:
    gains = [abs(from_band(Band(2, 5, 30, "butter", order=order)).gain(6.0)) for order in (2, 4, 8)]
    assert gains[0] > 2 * gains[1] > 4 * gains[2]


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_filter_takes_any_clip_and_gives_what_a_longer_one_begins_with(name: str) -> None:
    times = torch.arange(200) / 30
    motion = torch.sin(2 * np.pi * times).unsqueeze(1)
    whole = make_filter(name, 0.4, 3.0, 30.0).filter_all(motion)
    for length in (1, 2, 20, 74):
        short = make_filter(name, 0.4, 3.0, 30.0).filter_all(motion[:length])
        torch.testing.assert_close(short, whole[:length], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["butter", "iir", "fir"])
def test_the_causal_filter_that_a_short_clip_is_told_of_takes_it(name: str) -> None:
    clip = torch.zeros(20, 1)
    with pytest.raises(InputError, match=r"20 frames .* at least 75") as caught:
        make_filter(name, 0.4, 3.0, 30.0).filter_all(clip)
    causal = "iir-causal" if name == "iir" else "butter-causal"
    assert f"--filter {causal}" in str(caught.value)
    assert make_filter(causal, 0.4, 3.0, 30.0).filter_all(clip).shape == clip.shape


def test_no_filter_is_offered_where_next_to_nothing_of_a_period_is_there() -> None:
    with pytest.raises(InputError, match=r"2 frames .*; give a longer clip$"):
        make_filter("butter", 2.0, 4.0, 30.0).filter_all(torch.zeros(2, 1))


def test_a_clip_too_short_for_ideal_is_told_of_butter_if_that_takes_it() -> None:
    clip = torch.zeros(29, 1)
    with pytest.raises(InputError, match="--filter butter, which this clip is long enough for"):
        make_filter("ideal", 72, 92, 600).filter_all(clip)
    assert make_filter("butter", 72, 92, 600).filter_all(clip).shape == clip.shape
    with pytest.raises(InputError, match="--filter butter-causal: "):
        make_filter("ideal", 72, 92, 600).filter_all(clip[:5])
