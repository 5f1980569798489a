"""Work beside work: in order, bounded, and with every error where it belongs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from mm.video.threads import ahead, behind


class Counted:
    """Numbers that know how many of them were asked for."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.made = 0
        self.fails_at = fails_at

    def __iter__(self) -> Iterator[int]:
        for number in range(100):
            if number == self.fails_at:
                raise ValueError("the fifth")
            self.made += 1
            yield number


def test_ahead_is_in_order_and_in_another_thread() -> None:
    def names() -> Iterator[str]:
        for _ in range(3):
            yield threading.current_thread().name

    assert list(ahead(range(100))) == list(range(100))
    assert threading.current_thread().name not in list(ahead(names()))


def test_ahead_makes_few_items_too_many() -> None:
    source, running = Counted(), threading.active_count()
    with closing(ahead(source, waiting=2)) as items:
        assert [next(items), next(items)] == [0, 1]
    # Two were used, two may wait, one may be held; closing ends the thread.
    assert 2 <= source.made <= 5
    assert threading.active_count() == running


def test_ahead_raises_what_making_raised() -> None:
    used: list[int] = []
    with pytest.raises(ValueError, match="the fifth"):
        used.extend(ahead(Counted(fails_at=5)))
    assert used == [0, 1, 2, 3, 4]


def test_behind_is_in_order_and_complete() -> None:
    done: list[int] = []
    with behind(done.append) as append:
        for number in range(50):
            append(number)
    assert done == list(range(50))


def test_behind_holds_few_calls() -> None:
    begun, free = [], threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        free.wait(5)

    def use() -> None:
        with behind(call, waiting=1) as later:
            for number in range(4):
                later(number)
                given.append(number)

    given: list[int] = []
    user = threading.Thread(target=use)
    user.start()
    user.join(0.2)
    assert len(given) <= 2
    free.set()
    user.join(5)
    assert begun == [0, 1, 2, 3]


def test_behind_raises_what_a_call_raised() -> None:
    done = []

    def call(number: int) -> None:
        if number == 3:
            raise ValueError("the third")
        done.append(number)

    def use() -> None:
        with behind(call) as later:
            for number in range(50):
                later(number)

    with pytest.raises(ValueError, match="the third"):
        use()
    assert done == [0, 1, 2]


def test_behind_gives_up_with_its_user() -> None:
    begun, free = [], threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        free.wait(5)

    def use() -> None:
        with behind(call, waiting=10) as later:
            for number in range(5):
                later(number)
            threading.Timer(0.1, free.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert begun in ([], [0])
