"""Named sets of parameters, by what they reveal; every value can be given otherwise.

A preset is a beginning: the frequency of *your* string or machine is not known here. What a value comes from
stands beside it, and what a preset and its user settle on is a :class:`Settings`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from mm.errors import InputError, did_you_mean
from mm.magnify.settings import Settings
from mm.registry import methods

# What only temporal mode has.
_OF_FILTER = ("filter", "order", "taps")
_OF_BAND = ("low", "high", "top", *_OF_FILTER)


@dataclass(frozen=True)
class Preset:
    """One named set.

    Attributes:
        name: what a user types.
        reveals: what becomes visible.
        settings: the values.
        why: where they come from.
        hint: what to change first.
    """

    name: str
    reveals: str
    settings: Settings
    why: str
    hint: str


def _presets(*made: Preset) -> Mapping[str, Preset]:
    return MappingProxyType(
        {each.name: replace(each, settings=replace(each.settings, preset=each.name)) for each in made}
    )


PRESETS: Mapping[str, Preset] = _presets(
    Preset(
        "breathing",
        "the rise and fall of a chest or a belly",
        Settings("phase", "temporal", 10.0, low=0.2, high=1.5, options={"smoothing": 1.0}),
        "12 to 90 breaths a minute: adults at rest breathe 12 to 20 times, infants 30 to 60 times; "
        "Wu et al. 2012 used a gain of 10 and 0.4 to 3 Hz for the sleeping baby",
        "for an infant --low 0.4",
    ),
    Preset(
        "pulse",
        "the blood's beat in the colour of a face or a wrist",
        Settings(
            "linear",
            "temporal",
            50.0,
            low=0.83,
            high=1.67,
            filter="ideal",
            # What `LinearMagnifier.colour` sets: level 4 of the pyramid begins at 140.6 px.
            options={"cutoff": 140.0, "short": "zero", "chroma": 1.0},
        ),
        "50 to 100 beats a minute, the resting pulse; ideal filter, all colours alike and one coarse "
        "level of the pyramid are Wu et al. 2012's for colour (Table 1: face, 0.83 to 1 Hz, "
        "α = 100, which is too strong for the wider band)",
        "a band of 0.2 Hz round the known pulse shows less noise; an infant's is at 2 to 2.7 Hz",
    ),
    Preset(
        "structure",
        "the sway of a bridge, a crane, a mast or a building in wind",
        Settings("phase", "temporal", 40.0, low=0.2, high=2.0, options={"smoothing": 2.0}),
        "tall and long structures sway at 0.2 to 2 Hz, by less than a tenth of a px from afar; Wadhwa et al. "
        "2013 magnified a crane 75 times at 0.2 to 0.25 Hz, and a large factor needs the phase blurred",
        "a band of a few tenths of a Hz round the structure's own frequency allows --factor 75",
    ),
    Preset(
        "string",
        "how one string of a guitar swings",
        Settings("phase", "temporal", 25.0, low=72.0, high=92.0),
        "the low E at 82.4 Hz, 12 % to either side; Wu et al. 2012 and Oh et al. 2018 used this band "
        "at 600 frames a second, and 100 to 120 Hz for the A at 110 Hz",
        "needs a high-speed clip and its rate, --fps 600; another string: --low and --high round its pitch",
    ),
    Preset(
        "machine",
        "the vibration of a motor, a pump or a pipe",
        Settings("phase", "temporal", 20.0, low=1.0, top=0.45, options={"smoothing": 1.0}),
        "all that the capture rate holds above 1 Hz, where light and tripods drift: a shaft at 600 to 3000 "
        "turns a minute shakes at 10 to 50 Hz and the multiples; what is too fast for the rate shows at a "
        "lower frequency",
        "a band round the shaft's frequency shows less noise; --fps for a high-speed clip",
    ),
    Preset(
        "tremor",
        "the trembling of a hand that is held still",
        Settings("phase", "temporal", 10.0, low=4.0, high=12.0, options={"smoothing": 1.0}),
        "tremor at rest is at 4 to 6 Hz, essential at 4 to 12 Hz, and everyone's own at 8 to 12 Hz (the "
        "consensus of the Movement Disorder Society); slower movement is left alone",
        "needs more than 24 frames a second",
    ),
    Preset(
        "impact",
        "the shock of a shot, a blow or a step, which runs through what it hits",
        Settings("learned", "dynamic", 5.0),
        "a single event has no band: velocity is magnified, against the frame before; Oh et al. 2018 used 8 "
        "for the recoil of a gun, of which the shipped network, made for 32 px of motion, takes 5",
        "a high-speed clip; lower --factor if `mm magnify` warns of motion beyond the training",
    ),
)


def preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        InputError: if there is none; the message lists the names and the closest match.
    """
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS)
        raise InputError(f"no preset is called {name!r}{hint} (known: {', '.join(PRESETS)})")
    return PRESETS[name]


def settle(name: str | None = None, **given: Any) -> Settings:
    """The settings of a preset (None: the defaults), with those that are given in their place.

    What a given value makes meaningless is left out: a preset's options are for its method, its band is for
    temporal mode, the parameters of its filter are for that filter, and its filter is for a method that has
    none of its own.

    If no mode is given, a band that is given asks for temporal mode; without one it is the preset's mode, or
    what the method does by itself.

    Args:
        name: of the preset.
        given: fields of :class:`Settings`, None for not given; ``options`` are added to the preset's.

    Raises:
        InputError: for an unknown preset.
    """
    start = Settings() if name is None else preset(name).settings
    own = {key: value for key, value in given.items() if value is not None}
    drop: dict[str, Any] = {}
    method = own.get("method", start.method)
    if method != start.method:
        drop["options"] = {}
        if getattr(_maker(method), "own_filter", False):
            drop |= {key: getattr(Settings, key) for key in _OF_FILTER}
    mode = own.get("mode", start.mode)
    if "mode" not in own:
        if {"low", "high"} & set(own):
            mode = "temporal"
        elif name is None:
            mode = _own_mode(method)
    if mode != start.mode:
        drop |= {key: getattr(Settings, key) for key in _OF_BAND}
    if own.get("filter", start.filter) != start.filter:
        drop |= {"order": None, "taps": None}
    start = replace(start, **drop)
    options = dict(own.pop("options", {}))
    marks = frozenset(own) | {f"option {key}" for key in options}
    settled = {**own, "mode": mode, "options": {**start.options, **options}}
    return replace(start, **settled, given=marks)


def _maker(method: str) -> Any:
    """Return the method's factory; None for an unknown name, which is refused later."""
    return methods.get(method) if method in methods else None


def _own_mode(method: str) -> str:
    """The mode of a method that is given none."""
    make = _maker(method)
    parameter = None if make is None else inspect.signature(make).parameters.get("mode")
    default = None if parameter is None else parameter.default
    return default if isinstance(default, str) else Settings.mode
