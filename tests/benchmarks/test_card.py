"""The page of the shipped weights has the figures of their card."""

from __future__ import annotations

import copy
import json

import pytest

from benchmarks.card import CARD, behind, main, tables


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads(CARD.read_text(encoding="utf-8"))


def test_the_page_has_every_line_of_the_tables(card: dict) -> None:
    page = (CARD.parent / "README.md").read_text(encoding="utf-8")
    for lines in tables(card).values():
        assert len(lines) > 4
        # A table as a whole, so that none is under another's heading.
        assert "\n".join(lines) in page


def test_the_page_says_how_many_samples_were_seen(card: dict) -> None:
    for page in (CARD.parent / "README.md", CARD.parents[2] / "docs" / "how_it_was_trained.md"):
        assert f"{card['samples_seen']:,}" in page.read_text(encoding="utf-8")


def test_a_level_that_is_lost_is_counted_and_told(card: dict) -> None:
    changed = copy.deepcopy(card)
    for evaluation in ("evaluation", "evaluation_192"):
        for measurement in ("subpixel", "noise", "static"):
            for level in changed[evaluation][measurement]["levels"]:
                level["ssim"]["this"] = level["ssim"]["2018"] + 0.01
    assert behind(changed) == []
    assert tables(changed)["ahead"][2:] == [
        "| sub-pixel, 10 px of output | 42 of 42 | 42 of 42 |",
        "| noise, 0.05 px × 200 | 42 of 42 | 42 of 42 |",
        "| noise, 0.5 px × 20 | 42 of 42 | 42 of 42 |",
        "| static × 20 | 44 of 44 | 44 of 44 |",
    ]
    lost = changed["evaluation_192"]["subpixel"]["levels"][0]
    lost["ssim"] |= {"this": 0.25, "2018": 0.5}
    place = f"192 × 192 px, {lost['renderer']}, {lost['motion']:g}"
    assert behind(changed) == [f"sub-pixel, 10 px of output, {place}: 0.2500 against 0.5000"]
    assert tables(changed)["ahead"][2].endswith("| 42 of 42 | 41 of 42 |")


def test_printed(card: dict, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    printed = capsys.readouterr().out
    found = tables(card)
    assert found
    for lines in found.values():
        assert "\n".join(lines) in printed
