"""A method's own parameters: found in its signature, read from text, refused with what would do."""

from __future__ import annotations

import pydoc
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods import Magnifier, PhaseMagnifier
from mm.methods.parameters import REQUIRED, as_text, convert, fill, make, options_of, split, summary_of
from mm.registry import methods
from mm.temporal import Band

if TYPE_CHECKING:
    from numbers import Rational


class Plugin:
    """Does this and that; see :class:`mm.methods.Magnifier`.

    More of it.

    Args:
        factor: of all.
        count (int): how ``many``,
            on two lines.
        shape, size: of the thing.
        orientations: see :class:`mm.methods.pyramids.steerable.SteerablePyramid`.

    Raises:
        InputError: never.
    """

    def __init__(
        self,
        factor: float,
        band: object = None,
        *,
        box: tuple[int, int, int, int],
        count: int = 3,
        shape: Literal["round", "square"] = "round",
        size: float | None = None,
        weights: tuple[float, ...] = (1.0, 2.0),
        names: list[str] | None = None,
        fast: bool = False,
        mask: Path | None = None,
        flow: str | Callable[[Any], Any] = "dis",
        function: Callable[[Any], Any] = len,
        orientations: int = 4,
        plain=2,  # type: ignore[no-untyped-def]
    ) -> None:
        self.values = locals()


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.entries, "plugin", Plugin)


BOX = {"box": "1,2,3,4"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("box", "4, 5,6,7", (4, 5, 6, 7)),
        ("count", "8", 8),
        ("shape", "square", "square"),
        ("size", "2.5", 2.5),
        ("size", "none", None),
        ("size", "3", 3.0),
        ("weights", "1,2.5,3", (1.0, 2.5, 3.0)),
        ("names", "a,b", ["a", "b"]),
        ("fast", "true", True),
        ("fast", "no", False),
        ("mask", "a/b.png", Path("a/b.png")),
        ("mask", "none", None),
        ("flow", "farneback", "farneback"),
        ("plain", "7", 7),
    ],
)
def test_text_becomes_a_value_of_the_hint_s_type(name: str, text: str, value: Any) -> None:
    made = convert("plugin", BOX | {name: text})[name]
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "made"),
    [
        ("count", 8, 8),
        ("size", 2, 2.0),
        ("size", None, None),
        ("fast", True, True),
        ("box", [1, 2, 3, 4], (1, 2, 3, 4)),
        ("function", abs, abs),
        ("flow", abs, abs),
        ("mask", Path("x"), Path("x")),
    ],
)
def test_python_values_are_taken_as_they_are(name: str, value: Any, made: Any) -> None:
    assert convert("plugin", BOX | {name: value})[name] == made


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("count", "many", "option count must be int, got many"),
        ("count", "2.5", "must be int, got 2.5"),
        ("count", 2.5, "must be int, got 2.5"),
        ("count", True, "must be int, got True"),
        ("count", "", "must be int, got ''"),
        ("shape", "oval", "option shape must be round | square, got oval"),
        ("shape", 3, "option shape must be round | square, got 3"),
        ("size", "big", "option size must be float | none, got big"),
        ("fast", "perhaps", "option fast must be bool, got perhaps"),
        ("fast", 1, "option fast must be bool, got 1"),
        ("box", "1,2,3", "must be int,int,int,int, got 1,2,3"),
        ("box", "1,2,3,x", "must be int,int,int,int"),
        ("box", 4, "must be int,int,int,int"),
        ("weights", "1;2", "must be float,…, got 1;2"),
        ("function", "len", "must be Callable, got len"),
        ("mask", 3, "option mask must be Path | none, got 3"),
    ],
)
def test_wrong_values(name: str, value: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        convert("plugin", BOX | {name: value})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"orientation": "8"},
            r"no option 'orientation'; did you mean 'orientations'\? \(it has orientations, ",
        ),
        ({"zzz": "8"}, r"no option 'zzz' \(it has orientations, bandwidth, "),
        ({"factor": "8"}, "factor is no option of the phase method alone; set it with --factor"),
        ({"band": "8"}, "set it with --low, --high and --fps"),
    ],
)
def test_wrong_names(given: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        convert("phase", given)


def test_a_method_without_options_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(factor: float) -> None: ...

    monkeypatch.setitem(methods.entries, "bare", bare)
    with pytest.raises(InputError, match=r"the bare method has no option 'orientations' \(it has none\)"):
        convert("bare", {"orientations": 8})


def test_what_must_be_given() -> None:
    with pytest.raises(InputError, match="plugin method needs box; give --option box=int,int,int,int"):
        convert("plugin", {})


def test_an_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean 'phase'"):
        options_of("fase")


def test_a_method_that_takes_anything_is_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def anything(factor: float, count: int = 1, **rest: Any) -> None: ...

    monkeypatch.setitem(methods.entries, "anything", anything)
    assert convert("anything", {"count": "2", "other": "x"}) == {"count": 2, "other": "x"}
    assert list(options_of("anything")) == ["count"]


def test_a_hint_that_only_a_type_checker_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(factor: float, share: Rational | None = None, count: int = 1) -> None: ...

    monkeypatch.setitem(methods.entries, "unknown", unknown)
    assert convert("unknown", {"share": "1/2", "count": "2"}) == {"share": "1/2", "count": 2}


def test_the_methods_that_are_built_in() -> None:
    assert PhaseMagnifier(**convert("phase", {"orientations": "8", "limit": "1.5"})).orientations == 8
    options = options_of("linear")
    assert list(options) == ["cutoff", "short", "chroma"]
    assert (options["cutoff"].type_name, options["cutoff"].default_text) == ("float | none", "none")
    assert options["short"].type_name == "attenuate | zero"
    # "see :class:`…SteerablePyramid`" is followed.
    assert options_of("phase")["orientations"].help.startswith("sectors that half a ring is cut into")


def test_what_is_printed_points_nowhere_else() -> None:
    """A reader of `mm methods NAME` has no "there", and finds what a full name names."""
    for method in [name for name in methods if name != "plugin"]:
        for option in options_of(method).values():
            assert "see there" not in option.help, option
            assert "as said" not in option.help, option
            for place in re.findall(r"(?<=\bsee )[\w.]+\w|\bmm\.[\w.]+\w", option.help):
                assert pydoc.locate(place) is not None, option
    same = options_of("phase")
    for name in ("orientations", "bandwidth", "scales", "angular", "limit", "channels"):
        assert options_of("acceleration")[name].help == same[name].help != ""


def test_references_in_a_ring_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def ring(factor: float, orientations: int = 4) -> None:
        """Goes round.

        Args:
            orientations: see :func:`mm.methods.parameters.ring`.
        """

    monkeypatch.setattr("mm.methods.parameters.ring", ring, raising=False)
    monkeypatch.setitem(methods.entries, "ring", ring)
    assert options_of("ring")["orientations"].help == "see mm.methods.parameters.ring."


def test_every_option_of_every_method_can_be_typed_and_is_explained() -> None:
    for method in [name for name in methods if name != "plugin"]:
        for option in options_of(method).values():
            assert option.help, f"{method}: {option.name}"
            if option.default is not REQUIRED and not callable(option.default):
                text = as_text(option.default)
                assert convert(method, {option.name: text})[option.name] == option.default


def test_what_is_listed_of_a_plug_in() -> None:
    options = options_of("plugin")
    assert "factor" not in options
    assert "band" not in options
    assert options["count"].help == "how many, on two lines."
    assert options["shape"].help == options["size"].help == "of the thing."
    assert options["fast"].help == ""
    assert options["orientations"].help.startswith("sectors")
    assert options["box"].default is REQUIRED
    assert options["box"].default_text == "required"
    assert [options[name].default_text for name in ("weights", "fast", "size", "function")] == [
        "1,2",
        "false",
        "none",
        "len",
    ]
    assert summary_of("plugin") == "Does this and that; see mm.methods.Magnifier."


def test_split() -> None:
    assert split(["a=1", "b=x=y", " c = 1,2 ", "two-words=3"]) == {
        "a": "1",
        "b": "x=y",
        "c": "1,2",
        "two_words": "3",
    }
    for text in ("orientations", "=3", ""):
        with pytest.raises(InputError, match="--option must be NAME=VALUE, got "):
            split([text])
    with pytest.raises(InputError, match="--option a is given twice, as '1' and '2'"):
        split(["a=1", "a=2"])


# --- the method that is made of them -----------------------------------------------------------------------

BAND = Band(2.0, 6.0, 30.0)
SHARED = {"factor": 3.0, "mode": "static", "band": None, "batch": 2, "device": "cpu", "network": None}


class Made(Magnifier):
    """Remembers what it was given."""

    def __init__(self, **given: Any) -> None:
        self.given = given

    def push(self, frames: Tensor) -> Tensor:
        return frames

    def flush(self) -> Tensor:
        return torch.empty(0, 3, 0, 0)


def takes_some(factor: float, batch: int, *, size: int = 1) -> Made:
    return Made(factor=factor, batch=batch, size=size)


def test_what_a_method_has_it_is_given() -> None:
    some = fill(takes_some, "some", SHARED, {"size": 4})
    assert vars(some) == {"given": {"factor": 3.0, "batch": 2, "size": 4}}
    # Through ** come only those that all methods are promised.
    assert vars(fill(Made, "all", SHARED)) == {"given": {"factor": 3.0, "band": None, "device": "cpu"}}


def test_a_callable_that_makes_no_method_is_refused() -> None:
    def nothing(factor: float) -> Any:
        return {}

    with pytest.raises(InputError, match="the some method is a dict; it must be derived from"):
        fill(nothing, "some", SHARED)


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
