"""Presets: every one can be used, what is given comes first, and a rate that cannot hold the band is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mm.errors import InputError
from mm.magnify.presets import PRESETS, preset, settle
from mm.magnify.settings import Settings
from mm.methods import LinearMagnifier
from mm.methods.parameters import convert
from mm.registry import methods
from mm.temporal import Band, from_band


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_its_method(name: str) -> None:
    settings = preset(name).settings.at(600.0, "clip.mp4")
    band = settings.band(600.0)
    assert (band is not None) == (settings.mode == "temporal")
    if settings.method != "learned":
        made = methods.get(settings.method)(
            factor=settings.factor,
            mode=settings.mode,
            band=band,
            **convert(settings.method, settings.options),
        )
        assert made.factor == settings.factor
    else:
        assert not settings.options
    assert settings.preset == name
    assert settings.given == frozenset()
    for text in (preset(name).reveals, preset(name).why, preset(name).hint):
        assert text
        assert "\n" not in text


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_s_filter_passes_the_middle_of_its_band(name: str) -> None:
    band = preset(name).settings.at(600.0, "clip.mp4").band(600.0)
    if band is not None:
        assert abs(from_band(band).gain((band.low * band.high) ** 0.5)) > 0.9


def test_the_pulse_is_the_linear_method_s_colour_mode() -> None:
    settings = preset("pulse").settings
    band = settings.band(30.0)
    assert band is not None
    made = LinearMagnifier(settings.factor, "temporal", band, **convert("linear", settings.options))
    colour = LinearMagnifier.colour(settings.factor, band, level=4)
    assert made.weights(296, 264) == colour.weights(296, 264)
    assert made.chroma == colour.chroma
    assert band.filter == "ideal"


def test_without_a_preset_there_are_the_defaults() -> None:
    assert settle() == Settings()
    assert (Settings().method, Settings().mode, Settings().factor, Settings().filter) == (
        "learned",
        "static",
        10.0,
        "butter",
    )


def test_what_is_given_comes_first() -> None:
    made = settle("breathing", factor=25.0, low=0.4, options={"orientations": "8"})
    usual = preset("breathing").settings
    assert (made.factor, made.low, made.high, made.method) == (25.0, 0.4, usual.high, usual.method)
    assert made.options == {**usual.options, "orientations": "8"}
    assert made.given == {"factor", "low", "option orientations"}
    # And the preset is as it was.
    assert preset("breathing").settings == usual
    assert "orientations" not in usual.options


def test_what_another_method_mode_or_filter_makes_meaningless_is_left_out() -> None:
    assert settle("pulse", method="phase").options == {}
    assert settle("pulse", method="linear").options == preset("pulse").settings.options
    moving = settle("machine", mode="dynamic")
    assert (moving.low, moving.high, moving.top) == (None, None, None)
    assert moving.band(30.0) is None
    with_taps = replace(preset("breathing").settings, filter="fir", taps=61)
    assert with_taps.taps == 61
    assert settle("breathing", filter="fir", taps=61).taps == 61


def test_another_filter_drops_the_preset_s_taps(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(
        PRESETS["structure"], settings=replace(PRESETS["structure"].settings, filter="fir", taps=61)
    )
    monkeypatch.setattr("mm.magnify.presets.PRESETS", {**PRESETS, "short": short})
    assert settle("short").taps == 61
    assert settle("short", filter="butter").taps is None


def test_an_edge_by_rule() -> None:
    for fps in (30.0, 600.0):
        settings = preset("machine").settings.at(fps, "clip.mp4")
        assert settings.high == pytest.approx(0.45 * fps)
        assert settings.band(fps) == Band(1.0, 0.45 * fps, fps, "butter")
    assert settle("machine", high=12.0).at(30.0, "clip.mp4").high == 12.0


@pytest.mark.parametrize(
    ("name", "fps", "needed"), [("string", 30.0, 184), ("tremor", 24.0, 24), ("machine", 2, 2.2)]
)
def test_a_rate_that_cannot_hold_the_band(name: str, fps: float, needed: float) -> None:
    with pytest.raises(InputError) as caught:
        settle(name).at(fps, "guitar.mp4")
    message = str(caught.value)
    assert message.startswith(f"preset {name} looks at ")
    assert f"takes more than {needed:g}" in message
    assert f"guitar.mp4 has {fps:g}; give the rate of capture with --fps" in message
    # The ways out are some.
    assert settle(name).at(600.0, "guitar.mp4").band(600.0) is not None
    assert settle(name, low=0.2, high=0.5).at(fps, "guitar.mp4").band(fps) is not None


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_how_long_a_clip_must_be(name: str) -> None:
    """What is said holds for the filter itself, at the rates of common cameras."""
    settings = preset(name).settings
    if settings.low is None:
        assert settings.least_seconds is None
        return
    assert settings.least_seconds == pytest.approx(1 / settings.low, rel=2e-3)
    for fps in (239.76, 600.0):
        band = settings.at(fps, "clip.mp4").band(fps)
        assert band is not None
        needed = from_band(band).min_frames
        # Whole frames.
        assert needed - 1 <= settings.least_seconds * fps * 1.002
        assert needed >= settings.least_seconds * fps * 0.998
    assert replace(settings, preset=None, filter="ideal", low=1.0, high=1.2).least_seconds == pytest.approx(5)


def test_a_clip_too_short_for_a_preset() -> None:
    made = settle("breathing").at(30.0, "baby.mp4")
    made.check_length(150, 150, 30.0, "baby.mp4")
    with pytest.raises(InputError) as caught:
        made.check_length(60, 150, 30.0, "baby.mp4")
    assert str(caught.value) == (
        "preset breathing looks at 0.2 Hz and more, which takes a clip of 5 s (150 frames at 30 a second), "
        "but baby.mp4 has 2 s to look at (60 frames); give a longer clip, or leave out what is slower with "
        "--low 0.5, or magnify all that moves with --mode static"
    )
    # The ways out are some.
    band = settle("breathing", low=0.5).band(30.0)
    assert band is not None
    assert from_band(band).min_frames == 60
    assert settle("breathing", mode="static").band(30.0) is None
    # Where what is left of the band would be less than an octave, it is no way out.
    with pytest.raises(InputError, match=r"\(20 frames\); give a longer clip, or magnify all that moves"):
        made.check_length(20, 150, 30.0, "baby.mp4")
    with pytest.raises(InputError, match=r"\(1 frame\); give a longer clip$"):
        made.check_length(1, 150, 30.0, "baby.mp4")
    with pytest.raises(InputError, match=r"^the band has 0\.2 Hz .* --low 0\.5"):
        settle(low=0.2, high=1.5).check_length(60, 150, 30.0, "baby.mp4")
    settle("impact").check_length(2, 1, 30.0, "gun.mp4")


def test_no_such_preset() -> None:
    with pytest.raises(
        InputError, match=r"no preset is called 'pulze'; did you mean 'pulse'\? \(known: breathing,"
    ):
        preset("pulze")


@pytest.mark.parametrize(("name", "value"), [("order", 4), ("taps", 31)])
def test_a_filter_s_parameter_without_a_band(name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"--{name} {value} is the temporal filter's, but there is no band"):
        settle(**{name: value}).band(30.0)
    assert getattr(settle(**{name: value}, low=1.0, high=2.0).band(30.0), name) == value


def test_lines_say_what_was_given() -> None:
    lines = settle("structure", factor=75.0, high=0.25, options={"limit": "1.5"}).lines()
    assert [line.split("  ")[0] for line in lines] == [
        "method",
        "mode",
        "factor",
        "band",
        "filter",
        "option smoothing",
        "option limit",
    ]
    assert [line.endswith("(given)") for line in lines] == [False, False, True, True, False, False, True]
    assert "75  (given)" in lines[2]
    assert "0.2 Hz to 0.25 Hz" in lines[3]
    assert "1 Hz to 0.45 of the capture rate" in settle("machine").lines()[3]
    assert not any("band" in line for line in settle("impact").lines())


class TestMode:
    """Without ``--mode``."""

    def test_a_band_asks_for_temporal_mode(self) -> None:
        assert settle(low=1.0, high=2.0).mode == "temporal"
        assert settle(low=1.0).mode == "temporal"
        assert settle(method="linear", high=2.0).mode == "temporal"
        # Whatever the preset has.
        assert settle("impact", low=1.0, high=2.0).mode == "temporal"
        assert "mode" not in settle(low=1.0, high=2.0).given

    def test_a_mode_that_is_given_stays(self) -> None:
        assert settle(mode="static", low=1.0, high=2.0).mode == "static"

    def test_the_method_s_own_default(self) -> None:
        assert settle(method="acceleration").mode == "temporal"
        assert settle(method="phase").mode == "static"
        assert settle(method="of-a-plug-in-that-is-not-there").mode == "static"

    def test_a_preset_s(self) -> None:
        assert settle("impact").mode == "dynamic"
        assert settle("impact", method="acceleration").mode == "dynamic"


def test_a_preset_s_filter_is_not_for_a_method_with_its_own() -> None:
    assert settle("pulse", method="phase").filter == "ideal"
    moving = settle("pulse", method="acceleration")
    assert (moving.filter, moving.low, moving.mode) == ("butter", preset("pulse").settings.low, "temporal")
    # What the user typed is kept, and the method refuses it.
    assert settle("pulse", method="acceleration", filter="fir").filter == "fir"
    with pytest.raises(InputError, match="has a temporal kernel of its own, got the fir filter"):
        methods.get("acceleration")(mode="temporal", band=Band(1, 2, 30, "fir"))
