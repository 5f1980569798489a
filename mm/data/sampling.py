"""The order of training samples: one endless stream, shared out over ranks, resumable anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from mm.errors import InputError


@dataclass
class StreamPosition:
    """The number of training samples that the trainer has received, over all ranks."""

    samples: int = 0


def check_share(samples: int, ranks: int, name: str = "a set", least: int = 1) -> None:
    """Make sure that every rank gets ``least`` samples of its own.

    Raises:
        InputError: if there are too few of them.
    """
    if samples < least * ranks:
        raise InputError(
            f"{name} is {samples}, too few for {ranks} ranks (trainer.devices × trainer.num_nodes) with at "
            f"least {least} each: raise it to {least * ranks}, or use fewer ranks"
        )


class StreamSampler(DistributedSampler[Any]):
    """Indices of the training samples, from the stream's position on.

    Position p of the stream is sample p, so that training never sees a sample twice; with ``repeat`` the
    stream goes over the same ``length`` samples again and again, each time in another order. Batch b of rank
    r takes ``batch_size`` consecutive positions, and the ranks' batches follow each other: no position is
    taken twice or left out, whatever the number of ranks. A :class:`DistributedSampler` only so that
    Lightning leaves it in place.

    Args:
        dataset: whose indices these are.
        position: where the stream stands; read each time an iteration starts.
        length: samples of an epoch over all ranks; rounded down to whole batches on every rank, but at least
            one.
        batch_size: of one rank.
        repeat: whether every epoch has the same samples.
        seed: of the order under ``repeat``.
        rank: this process's, from 0.
        ranks: how many there are.

    Raises:
        InputError: if there are more ranks than samples; with ``repeat``, where a batch of all ranks would
            hold a sample twice, if there are fewer samples than those batches take.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        position: StreamPosition,
        length: int,
        batch_size: int,
        repeat: bool = False,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if ranks > 1:
            check_share(length, ranks, "samples_per_epoch", batch_size if repeat else 1)
        super().__init__(dataset, num_replicas=ranks, rank=rank, shuffle=False)
        self.position = position
        self.length = length
        self.batch_size = batch_size
        self.repeat = repeat
        self.order_seed = seed
        self.ranks = ranks
        self.batches = max(1, length // (batch_size * ranks))

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        """Give an epoch's worth of this rank's indices; a trainer resumed in mid-epoch stops before."""
        start = self.position.samples
        for batch in range(self.batches):
            first = start + (batch * self.ranks + self.rank) * self.batch_size
            yield from map(self._index, range(first, first + self.batch_size))

    def _index(self, position: int) -> int:
        if not self.repeat:
            return position
        epoch, place = divmod(position, self.length)
        return int(self._order(epoch)[place])

    def _order(self, epoch: int) -> np.ndarray:
        known: tuple[int, np.ndarray] | None = getattr(self, "_known_order", None)
        if known is None or known[0] != epoch:
            order = np.random.default_rng([self.order_seed, epoch]).permutation(self.length)
            self._known_order = known = (epoch, order)
        return known[1]


class FixedSampler(DistributedSampler[Any]):
    """Indices of a fixed set, shared out over ranks: rank r takes r, r + ranks, r + 2·ranks and so on.

    Together they have each sample once, so that a score does not depend on the number of ranks. Where the
    ranks do not divide the set, the first ones have a sample more; nothing in validation waits for the other
    ranks from batch to batch.

    Raises:
        InputError: if there are more ranks than samples. A rank without any would have no score to join.
    """

    def __init__(self, dataset: Dataset[Any], length: int, rank: int = 0, ranks: int = 1) -> None:
        check_share(length, ranks, "the number of samples to score")
        super().__init__(dataset, num_replicas=ranks, rank=rank, shuffle=False)
        self.indices = range(rank, length, ranks)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        """Give this rank's indices in rising order."""
        return iter(self.indices)


class StreamLoader(DataLoader[Any]):
    """A data loader that counts what it hands over, and goes on from there after a restart.

    Lightning saves :meth:`state_dict` in its checkpoints. What the workers prepared ahead is not counted, so
    a resumed run has no gap and no repeat; nor has one that goes on with another batch size or number of
    ranks.

    Args:
        dataset: of samples.
        echo: times that each batch is given, one after the other. Above 1 each has its number, from 0, as
            ``echo``. A resumed run leaves out the remaining ones of its last batch.
        **loading: of :class:`~torch.utils.data.DataLoader`.
    """

    def __init__(self, dataset: Dataset[Any], *, echo: int = 1, **loading: Any) -> None:
        self.echo = echo
        super().__init__(dataset, **loading)

    def __len__(self) -> int:
        return super().__len__() * self.echo

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Give the batches of an epoch."""
        sampler = self.sampler
        assert isinstance(sampler, StreamSampler)
        for batch in super().__iter__():
            # Before the batch is handed over: a checkpoint that is written after its step must count it.
            sampler.position.samples += sampler.batch_size * sampler.ranks
            if self.echo == 1:
                yield batch
                continue
            for number in range(self.echo):
                yield {**batch, "echo": torch.tensor(number)}

    def state_dict(self) -> dict[str, int]:
        """Return the number of samples handed over, on all ranks together."""
        assert isinstance(self.sampler, StreamSampler)
        return {"samples": self.sampler.position.samples}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state that :meth:`state_dict` returned."""
        assert isinstance(self.sampler, StreamSampler)
        self.sampler.position.samples = state["samples"]
