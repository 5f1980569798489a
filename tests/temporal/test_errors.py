"""Bad bands and bad clips: one line with the numbers in it."""

import math

import pytest
import torch

from mm.errors import InputError
from mm.temporal import FILTERS, Band, make_filter


@pytest.mark.parametrize(
    ("low", "high", "fps", "says"),
    [
        (0.5, 15.0, 30.0, ["15 Hz", "30 frames a second"]),
        (0.5, 20.0, 30.0, ["20 Hz", "below 15 Hz", "--fps"]),
        (3.0, 3.0, 30.0, ["3 Hz to 3 Hz"]),
        (4.0, 3.0, 30.0, ["4 Hz to 3 Hz"]),
        (-1.0, 3.0, 30.0, ["low edge", "above 0 Hz", "-1"]),
        (0.0, 3.0, 30.0, ["low edge", "above 0 Hz"]),
        (math.nan, 3.0, 30.0, ["low edge", "nan"]),
        (0.5, math.inf, 30.0, ["high edge", "inf"]),
        (0.5, 3.0, 0.0, ["frame rate", "frames a second"]),
        (0.5, 3.0, math.nan, ["frame rate", "nan"]),
    ],
)
def test_bad_bands(low: float, high: float, fps: float, says: list[str]) -> None:
    for name in FILTERS:
        with pytest.raises(InputError) as caught:
            make_filter(name, low, high, fps)
        message = str(caught.value)
        assert "\n" not in message
        assert all(part in message for part in says), message


@pytest.mark.parametrize("name", [name for name in FILTERS if not name.endswith("-causal")])
def test_a_clip_shorter_than_a_period_of_the_low_edge(name: str) -> None:
    filter_ = make_filter(name, 0.4, 3.0, 30.0)
    assert filter_.min_frames == 75
    filter_.push(torch.zeros(74, 2))
    with pytest.raises(InputError, match=r"74 frames .* at least 75; .* 0\.406 Hz"):
        filter_.flush()
    # The way out that the message shows is one.
    make_filter(name, 0.406, 3.0, 30.0).filter_all(torch.zeros(74, 2))
    # And the refusal leaves nothing of the short clip behind.
    assert make_filter(name, 0.4, 3.0, 30.0).filter_all(torch.zeros(75, 3)).shape == (75, 3)
    assert filter_.filter_all(torch.zeros(75, 3)).shape == (75, 3)


def test_one_frame_is_no_clip_for_any_filter() -> None:
    filter_ = make_filter("butter", 0.4, 3.0, 30.0)
    filter_.push(torch.zeros(1, 2))
    with pytest.raises(InputError, match=r"has 1 frame at 30 a second, .* at least 75; give a longer clip$"):
        filter_.flush()


def test_the_ideal_filter_needs_frames_enough_to_resolve_its_band() -> None:
    filter_ = make_filter("ideal", 72, 92, 600)
    assert filter_.min_frames == 30
    filter_.push(torch.zeros(29, 2))
    with pytest.raises(InputError, match="29 frames"):
        filter_.flush()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", list(FILTERS))
def test_not_a_number(name: str, bad: float) -> None:
    x = torch.zeros(5, 2, 3)
    x[3, 1, 1] = bad
    with pytest.raises(InputError, match="frame 3 holds NaN or infinite"):
        make_filter(name, 1, 4, 30).push(x)


def test_frames_of_another_size() -> None:
    filter_ = make_filter("butter", 1, 4, 30)
    filter_.push(torch.zeros(3, 4, 4))
    with pytest.raises(InputError, match=r"frame 3 has shape \(4, 5\), those before it \(4, 4\)"):
        filter_.push(torch.zeros(1, 4, 5))


def test_options_that_are_not_the_filters() -> None:
    with pytest.raises(InputError, match=r"'buter' \(known: butter"):
        make_filter("buter", 1, 4, 30)
    with pytest.raises(InputError, match="butter filter has no taps, got 31"):
        make_filter("butter", 1, 4, 30, taps=31)
    with pytest.raises(InputError, match="fir filter has no order, got 2"):
        make_filter("fir", 1, 4, 30, order=2)
    with pytest.raises(InputError, match="order of a Butterworth filter must be 2, 4, 6 or 8, got 3"):
        make_filter("butter", 1, 4, 30, order=3)
    with pytest.raises(InputError, match="at least 3 taps, got 1"):
        make_filter("fir", 1, 4, 30, taps=1)
    with pytest.raises(InputError, match="floating point"):
        make_filter("fir", 1, 4, 30, storage=torch.int16)


def test_a_band_is_a_value() -> None:
    assert Band(1, 4, 30).min_frames == 30
    assert Band(0.1, 4, 30).min_frames == 300
    assert Band(1, 4, 30) == Band(1, 4, 30, "butter")


@pytest.mark.parametrize("name", list(FILTERS))
def test_describe_names_the_filter_and_its_band(name: str) -> None:
    line = make_filter(name, 0.5, 7.5, 30).describe()
    assert line.startswith(f"{name} 0.5–7.5 Hz at 30 frames a second")
    assert "\n" not in line
