"""W&B's distributions, held to what their names mean: medians, ends, frequencies, quantiles."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from mm.errors import InputError
from mm.sweeps import parse_distribution

STEPS = [(i + 0.5) / 1000 for i in range(1000)]


def drawn(**given):
    distribution = parse_distribution("x", given)
    return [distribution.value(u) for u in STEPS]


def median(**given):
    return parse_distribution("x", given).value(0.5)


def test_uniform_is_even_between_its_limits():
    values = drawn(min=-1.0, max=3)
    assert values == pytest.approx([-1 + 4 * u for u in STEPS])


def test_whole_limits_make_whole_numbers_both_ends_included():
    assert Counter(drawn(min=1, max=4)) == {1: 250, 2: 250, 3: 250, 4: 250}


@pytest.mark.parametrize("kind", ["log_uniform_values", "inv_log_uniform_values"])
def test_log_uniform_values_has_as_many_in_each_decade(kind):
    values = drawn(distribution=kind, min=1e-4, max=1.0)
    assert Counter(math.floor(math.log10(value)) for value in values) == {-4: 250, -3: 250, -2: 250, -1: 250}


def test_log_uniform_takes_exponents():
    same = drawn(distribution="log_uniform_values", min=0.01, max=10)
    assert drawn(distribution="log_uniform", min=math.log(0.01), max=math.log(10)) == pytest.approx(same)
    reciprocal = drawn(distribution="inv_log_uniform", min=-math.log(10), max=-math.log(0.01))
    assert reciprocal == pytest.approx(same)


def test_normal_has_its_mean_and_its_deviation():
    assert median(distribution="normal", mu=3, sigma=2) == pytest.approx(3)
    one_sigma = parse_distribution("x", {"distribution": "normal", "mu": 3, "sigma": 2})
    # Φ(1) = 0.841345: one deviation above the mean.
    assert one_sigma.value(0.8413447) == pytest.approx(5, abs=1e-5)
    assert median(distribution="normal") == pytest.approx(0)


def test_log_normal_is_the_exponential_of_a_normal():
    normal = drawn(distribution="normal", mu=-2, sigma=0.5)
    assert drawn(distribution="log_normal", mu=-2, sigma=0.5) == pytest.approx([math.exp(v) for v in normal])


def test_beta_of_2_and_1_has_the_square_as_its_distribution_function():
    assert drawn(distribution="beta", a=2, b=1) == pytest.approx([math.sqrt(u) for u in STEPS])


@pytest.mark.parametrize(
    "given",
    [
        {"distribution": "q_uniform", "min": 16, "max": 128},
        {"distribution": "q_log_uniform", "min": math.log(16), "max": math.log(128)},
        {"distribution": "q_log_uniform_values", "min": 16, "max": 128},
        {"distribution": "q_normal", "mu": 64, "sigma": 16},
        {"distribution": "q_log_normal", "mu": 4, "sigma": 0.5},
        {"distribution": "q_beta", "a": 2, "b": 1},
    ],
    ids=lambda given: given["distribution"],
)
def test_q_rounds_to_its_multiples_and_whole_ones_stay_whole(given):
    fine = drawn(**{**given, "distribution": given["distribution"].removeprefix("q_")})
    coarse = drawn(**given, q=8)
    assert all(type(value) is int and value % 8 == 0 for value in coarse)
    assert all(abs(a - b) <= 4 for a, b in zip(fine, coarse, strict=True))


def test_values_are_equally_likely_and_probabilities_are_kept():
    assert Counter(drawn(values=["a", "b"])) == {"a": 500, "b": 500}
    assert Counter(drawn(values=[1, 2, 3], probabilities=[0.1, 0.0, 0.9])) == {1: 100, 3: 900}


def test_rounded_probabilities_leave_no_gap_at_the_end():
    third = parse_distribution("x", {"values": [1, 2, 3], "probabilities": [0.3333333] * 3})
    assert third.value(1 - 1e-12) == 3


def test_choices_are_what_a_grid_takes():
    assert parse_distribution("x", {"value": 7}).choices() == [7]
    assert parse_distribution("x", {"values": [1, 2]}).choices() == [1, 2]
    assert parse_distribution("x", {"min": 2, "max": 4}).choices() == [2, 3, 4]
    assert parse_distribution("x", {"min": 2.0, "max": 4}).choices() is None


def test_a_few_values_tell_whether_all_can_be_used():
    chances = {"values": ["a", "b"], "probabilities": [0.9, 0.1]}
    assert parse_distribution("x", chances).telling() == ["a", "b"]
    # Of two thousand million whole numbers, the two ends.
    assert parse_distribution("x", {"min": 0, "max": 2**31}).telling() == [0, 2**31]
    low, high = parse_distribution("x", {"min": 0.0, "max": 1.0}).telling()
    assert 0 < low < 0.01
    assert 0.99 < high < 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "must say value, values, or min and max, got 3"),
        ({"min": 1}, "must say value, values, or min and max; it says min"),
        ({"parameters": {"a": {"value": 1}}}, "write each under its full name, x.NAME"),
        ({"distribution": "log_unifrom_values", "min": 1, "max": 2}, "did you mean 'log_uniform_values'?"),
        ({"distribution": "log_uniform_values", "min": 0.1}, "has no max; it takes min, max"),
        ({"distribution": "uniform", "min": 0, "max": 1, "sigma": 2}, "has 'sigma', which means nothing"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "must be above 0, got 0"),
        ({"min": 2, "max": 1}, "min must be at most max, got 2 and 1"),
        ({"distribution": "int_uniform", "min": 1, "max": 2.5}, "must be whole, got 1 and 2.5"),
        ({"distribution": "uniform", "min": "1e-5", "max": 1}, "min is the text '1e-5', not a number"),
        ({"distribution": "uniform", "min": "low", "max": 1}, "min must be a number, got 'low'"),
        ({"distribution": "normal", "sigma": 0}, "sigma must be above 0, got 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "q must be above 0, got 0"),
        ({"distribution": ["uniform"], "min": 0, "max": 1}, "no known distribution: ['uniform']"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "log_uniform_values takes the values"),
        ({"values": []}, "values must be a list of at least one, got []"),
        ({"values": [0.9, None]}, "the agent would write as the word None"),
        ({"value": None}, "the agent would write as the word None"),
        ({"values": [1, 2], "probabilities": [1]}, "a number of at least 0 for each value, got [1]"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "must sum to 1, got 0.9"),
    ],
)
def test_what_makes_no_distribution_is_refused(given, says):
    with pytest.raises(InputError) as refused:
        parse_distribution("x", given)
    assert "parameter 'x'" in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
