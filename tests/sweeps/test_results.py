"""The table of trials: what is written can be read again, and the best is the best."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mm.errors import InputError
from mm.sweeps import Metric, Result, Results, best_logged, ranked

SCORE = Metric("val/score", "maximize")


def test_rows_come_back_as_they_were(tmp_path: Path):
    table = Results(tmp_path, SCORE, ["a", "b.c"])
    table.add(Result(1, "failed", None, 2.0, 'mm: error: "x", y'), {"a": "{k: 1, l: 2}", "b.c": True})
    table.add(Result(0, "finished", 0.1234567890123, 3.5), {"a": 1e-5, "b.c": False})
    again = Results(tmp_path, SCORE, ["a", "b.c"])
    assert again.rows == table.rows
    assert again.values(1) == {"a": "{k: 1, l: 2}", "b.c": "True"}
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["trial", "status", "val/score", "seconds", "a", "b.c", "error"]
    assert lines[1] == ["0", "finished", "0.1234567890123", "3.5", "1e-05", "False", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_trial_that_went_on_has_the_seconds_of_both(tmp_path: Path):
    table = Results(tmp_path, SCORE, [])
    table.add(Result(0, "interrupted", None, 10.0), {})
    table.add(Result(0, "finished", 0.5, 5.0), {})
    assert table.rows[0] == Result(0, "finished", 0.5, 15.0)


@pytest.mark.parametrize(
    "text",
    [
        "trial,status\n0,finished\n",
        "trial,status,val/score,seconds,error\n0,done,0.5,1,\n",
        "trial,status,val/score,seconds,error\nzero,finished,0.5,1,\n",
        "trial,status,val/score,seconds,error\n0,finished\n",
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str):
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(InputError, match="is not the table of this sweep"):
        Results(tmp_path, SCORE, [])


def test_ranked_by_the_goal_without_what_did_not_finish():
    rows = [
        Result(0, "finished", 0.5, 1),
        Result(1, "finished", 0.9, 1),
        Result(2, "failed", 0.99, 1),
        Result(3, "finished", 0.5, 1),
        Result(4, "interrupted", None, 1),
    ]
    assert [row.trial for row in ranked(rows, SCORE)] == [1, 0, 3]
    assert [row.trial for row in ranked(rows, Metric("loss", "minimize"))] == [0, 3, 1]


def test_the_metric_is_the_best_finite_one_of_all_starts(tmp_path: Path):
    for version, text in enumerate(
        # The last row of the second was cut off as it was written.
        [
            "step,val/score,train/loss\n1,,3\n1,0.4,\n2,0.7,\n",
            "step,val/score\n3,0.6\n4,nan\n5,8.1e-",
            "step\n5\n",
        ]
    ):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(text)
    assert best_logged(tmp_path, SCORE) == 0.7
    assert best_logged(tmp_path, Metric("val/score", "minimize")) == 0.4
    assert best_logged(tmp_path, Metric("val/other", "minimize")) is None
    assert best_logged(tmp_path / "nothing", SCORE) is None
