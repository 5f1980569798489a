"""The tables of ``mm/weights/README.md``, made from the card of the shipped weights.

``python -m benchmarks.card`` prints them; a test holds that the page has every line. The figures themselves
are those of ``mm evaluate``, put into the card by ``mm export --evaluation``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Level = dict[str, Any]

CARD = Path(__file__).parents[1] / "mm" / "weights" / "oh2018-mm.json"
SIZES = {"128 × 128 px": "evaluation", "192 × 192 px": "evaluation_192"}
RENDERERS = ("fourier", "project")
# Of the protocol's levels, those that the page shows; the card holds all.
MOTIONS = (0.01, 0.02, 0.04, 0.1, 0.2, 0.5, 1.0)
NOISES = (0.0, 0.01, 0.1, 0.251, 0.398, 1.0, 2.51, 3.98, 10.0, 39.8, 100.0)
# What is measured, with which factor (None: any), and the level's own number.
TESTS = {
    "sub-pixel, 10 px of output": ("subpixel", None, "motion"),
    "noise, 0.05 px × 200": ("noise", 200.0, "noise"),
    "noise, 0.5 px × 20": ("noise", 20.0, "noise"),
    "static × 20": ("static", 20.0, "noise"),
}
LARGER_TOO = ("sub-pixel, 10 px of output",)


def tables(card: dict[str, Any]) -> dict[str, list[str]]:
    """Return the page's tables in Markdown, line by line, by what they show."""
    found = {"ahead": _ahead(card)}
    for test in TESTS:
        # The paper's main test on larger frames too.
        for size in list(SIZES)[: 2 if test in LARGER_TOO else 1]:
            found[f"{test}, {size}"] = list(_ssim(card[SIZES[size]], test, card["name"]))
    for content in ("picture", "pattern"):
        found[f"gain, {content}"] = list(_gain(card["evaluation"]["gain"]["levels"], content, card["name"]))
    return found


def behind(card: dict[str, Any]) -> list[str]:
    """Return a line for each level at which the release has the higher SSIM."""
    return [
        f"{test}, {size}, {level['renderer']}, {level[own]:g}: "
        f"{level['ssim']['this']:.4f} against {level['ssim']['2018']:.4f}"
        for size, evaluation in SIZES.items()
        for test, (_, _, own) in TESTS.items()
        for level in _levels(card[evaluation], test)
        if level["ssim"]["this"] <= level["ssim"]["2018"]
    ]


def _levels(evaluation: dict[str, Any], test: str) -> list[Level]:
    measurement, factor, _ = TESTS[test]
    return [each for each in evaluation[measurement]["levels"] if factor in (None, each["factor"])]


def _ahead(card: dict[str, Any]) -> list[str]:
    lines = [
        f"| `{card['name']}` ahead of the 2018 release, levels × renderers | {' | '.join(SIZES)} |",
        "|---|---:|---:|",
    ]
    for test in TESTS:
        cells = []
        for evaluation in SIZES.values():
            levels = _levels(card[evaluation], test)
            ahead = sum(level["ssim"]["this"] > level["ssim"]["2018"] for level in levels)
            cells.append(f"{ahead} of {len(levels)}")
        lines.append(f"| {test} | {' | '.join(cells)} |")
    return lines


def _ssim(evaluation: dict[str, Any], test: str, name: str) -> Iterator[str]:
    own = TESTS[test][2]
    yield f"| {'px' if own == 'motion' else own} |" + f" input | **{name}** | 2018 |" * len(RENDERERS)
    yield "|---:|" + "---:|---:|---:|" * len(RENDERERS)
    levels = {(level["renderer"], level[own]): level["ssim"] for level in _levels(evaluation, test)}
    for value in MOTIONS if own == "motion" else NOISES:
        if (RENDERERS[0], value) in levels:
            cells = [levels[renderer, value] for renderer in RENDERERS]
            yield f"| {value:g} |" + "".join(
                f" {ssim['input']:.3f} | **{ssim['this']:.3f}** | {ssim['2018']:.3f} |" for ssim in cells
            )


def _gain(levels: list[Level], content: str, name: str) -> Iterator[str]:
    yield f"| px | × | px of output | {name} | 2018 |"
    yield "|---:|---:|---:|---:|---:|"
    both: dict[tuple[float, float], list[Level]] = {}
    for level in levels:
        if level["content"] == content:
            both.setdefault((level["motion"], level["factor"]), []).append(level)
    for (motion, factor), each in sorted(
        both.items(), key=lambda item: (item[0][0] * item[0][1], item[0][1])
    ):
        cells = " | ".join(
            f"{_mean(each, 'gain', method):.2f} ± {_mean(each, 'gain_std', method):.2f}"
            for method in ("this", "2018")
        )
        yield f"| {motion:g} | {factor:g} | {motion * factor:g} | {cells} |"


def _mean(levels: list[Level], what: str, method: str) -> float:
    return sum(level[what][method] for level in levels) / len(levels)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, and what the release is ahead in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("card", nargs="?", type=Path, default=CARD, help="default: the shipped weights'")
    card = json.loads(parser.parse_args(arguments).card.read_text(encoding="utf-8"))
    for title, lines in tables(card).items():
        print(f"{title}:\n", *lines, "", sep="\n")
    print("behind:", *(behind(card) or ["nowhere"]), sep="\n")


if __name__ == "__main__":
    main()
