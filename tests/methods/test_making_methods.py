"""Methods are given those of the shared parameters that they have, and no more."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import mm.methods  # noqa: F401  (enters the methods that are built in)
from mm.errors import InputError
from mm.methods.parameters import fill, make
from mm.registry import methods
from mm.temporal import Band

BAND = Band(2.0, 6.0, 30.0)
SHARED = {"factor": 3.0, "mode": "static", "band": None, "batch": 2, "device": "cpu", "network": None}


def takes_all(**options: Any) -> Any:
    return options


def takes_some(factor: float, batch: int, *, size: int = 1) -> Any:
    return {"factor": factor, "batch": batch, "size": size}


def test_what_a_method_has_it_is_given() -> None:
    assert fill(takes_some, "some", SHARED, {"size": 4}) == {"factor": 3.0, "batch": 2, "size": 4}
    # Of what a method takes by ** only what all are promised.
    assert fill(takes_all, "all", SHARED) == {"factor": 3.0, "band": None, "device": "cpu"}


@pytest.mark.parametrize(
    ("shared", "says"),
    [
        ({"network": "x.ckpt"}, "the some method inside it has no weights, got --weights x.ckpt; leave them"),
        ({"network": object()}, "has no weights, got a network; leave them out"),
        ({"band": BAND}, "no band of frequencies, got 2 Hz to 6 Hz; leave --low and --high out"),
        ({"precision": "64"}, "precision must be 32 or bf16, got '64'"),
    ],
)
def test_what_it_has_not_is_refused_where_it_matters(shared: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fill(takes_some, "some", {**SHARED, **shared}, where=" inside it")


def test_a_precision_without_use_is_told() -> None:
    with pytest.warns(
        UserWarning, match="--precision bf16 changes nothing: the some method works in 32 bits"
    ):
        fill(takes_some, "some", {**SHARED, "precision": "bf16"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(takes_some, "some", {**SHARED, "precision": "32"})


def test_by_name_options_are_text_or_values() -> None:
    assert "8 orientations" in make("phase", SHARED, {"orientations": "8"}).describe()
    with pytest.raises(InputError, match="no option 'orientation'; did you mean 'orientations'"):
        make("phase", SHARED, {"orientation": 8})
    with pytest.raises(InputError, match="'phaze'; did you mean 'phase'"):
        make("phaze", SHARED)


def test_a_factor_in_the_place_of_the_network_is_told() -> None:
    with pytest.raises(InputError, match=r"network must be .* got 4\.0; .* by name, such as factor=10"):
        methods.get("learned")(4.0)
