"""Work beside work, in order: items made ahead of their use, and calls carried out behind their caller."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")

_END = object()
# Seconds after which a waiting thread looks whether it is still wanted.
_POLL = 0.1


def ahead(items: Iterable[Item], waiting: int = 1) -> Generator[Item]:
    """Hand items on in order, made in another thread while earlier ones are in use.

    Decoders, encoders and array libraries leave the interpreter to other threads while they work.

    Args:
        items: read to their end, or until the returned iterator is closed; their errors are raised here.
        waiting: items held at most beside the one in use and the one being made.
    """
    queue: Queue[Any] = Queue(waiting)
    unwanted = Event()

    def put(item: object) -> None:
        while not unwanted.is_set():
            with contextlib.suppress(Full):
                queue.put(item, timeout=_POLL)
                return

    def make() -> None:
        try:
            for item in items:
                put((item, None))
                if unwanted.is_set():
                    return
        except BaseException as error:  # It belongs to whoever waits for the item.
            put((None, error))
        put((_END, None))

    thread = Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
            del item
    finally:
        unwanted.set()
        thread.join()


@contextlib.contextmanager
def behind(call: Callable[..., None], waiting: int = 1) -> Iterator[Callable[..., None]]:
    """Give a function that returns at once, while ``call`` is carried out in another thread, in order.

    Leaving the block waits for all calls, or, on an error, for the one in progress alone. An error within a
    call is raised by a later one, or on leaving.

    Args:
        call: carried out once for each call of what is given; its arguments must not change meanwhile.
        waiting: calls held at most beside the one in progress.
    """
    queue: Queue[Any] = Queue(waiting)
    errors: list[BaseException] = []
    unwanted = Event()

    def work() -> None:
        while (arguments := queue.get()) is not _END:
            if not errors and not unwanted.is_set():
                try:
                    call(*arguments)
                except BaseException as error:  # It belongs to the caller.
                    errors.append(error)
            del arguments

    def enqueue(*arguments: object) -> None:
        if errors:
            raise errors[0]
        queue.put(arguments)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield enqueue
    except BaseException:
        unwanted.set()
        with contextlib.suppress(Empty):
            while True:
                queue.get_nowait()
        raise
    finally:
        queue.put(_END)
        thread.join()
    if errors:
        raise errors[0]
