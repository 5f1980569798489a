"""An Optuna study of a sweep file, whose trials are ``mm fit`` in a process and a folder each."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from mm.errors import InputError
from mm.files import replacing
from mm.sweeps.definition import Sweep, fit_options

GRACE, POLL = 30.0, 1.0  # seconds: for a checkpoint after SIGTERM, and between looks at a run
# Optuna repeats no trial: another one has the values, and the number of the first as this attribute.
RETRY = "retry"
optuna.logging.set_verbosity(optuna.logging.ERROR)


class NumberedSampler(optuna.samplers.RandomSampler):
    """Values by the seed and the trial's number: Optuna's samplers repeat theirs in each process."""

    def __init__(self, sweep: Sweep, method: str, seed: int) -> None:
        super().__init__(seed)
        self.sweep, self.method, self.seed = sweep, method, seed

    def sample_independent(self, study: Any, trial: FrozenTrial, param_name: str, *distribution: Any) -> Any:
        """Draw one parameter; in a grid, as in W&B's, the last name varies fastest."""
        number = trial.number - _retries(study.get_trials(deepcopy=False)[: trial.number])
        if self.method == "grid":
            for name, values in reversed(grid_axes(self.sweep).items()):
                number, at = divmod(number, len(values))
                if name == param_name:
                    return values[at]
        seed = zlib.crc32(f"{self.seed} {number} {param_name}".encode())
        kind = optuna.samplers.TPESampler if self.method == "bayes" else optuna.samplers.RandomSampler
        return kind(seed=seed).sample_independent(study, trial, param_name, *distribution)


def grid_axes(sweep: Sweep) -> dict[str, Sequence[Any]]:
    """Return name -> values, in the order of the names; raise InputError for a continuous range."""
    axes: dict[str, Sequence[Any]] = {}
    for name, each in sorted(sweep.parameters.items()):
        if isinstance(each, optuna.distributions.FloatDistribution):
            raise InputError(
                f"{sweep.path}: a grid needs values, and {name!r} is a range; try --method random"
            )
        axes[name] = getattr(each, "choices", ()) or range(each.low, each.high + 1)  # type: ignore[attr-defined]
    return axes


def first_values(sweep: Sweep, method: str, seed: int, count: int = 1) -> list[dict[str, Any]]:
    """Return the values of the first ``count`` trials of a study that is still empty."""
    study = optuna.create_study(sampler=NumberedSampler(sweep, method, seed))
    return [study.ask(sweep.parameters).params for _ in range(count)]


def _retries(trials: Sequence[FrozenTrial]) -> int:
    return sum(RETRY in each.user_attrs for each in trials)


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    """Return successive halving, as W&B's hyperband has a single bracket; steps are validations."""
    if not (given := sweep.content.get("early_terminate")):
        return optuna.pruners.NopPruner()
    try:
        eta = given.get("eta", 3)
        first = given.get("min_iter") or max(1, given["max_iter"] // eta ** given["s"])
        return optuna.pruners.SuccessiveHalvingPruner(first, eta)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{sweep.path}: early_terminate needs min_iter, or max_iter and s; got {given}"
        ) from error


class Study:
    """The study of a sweep, created or joined.

    Args:
        sweep: the file.
        folder: holds a folder a trial, ``results.csv``, and the journal if ``storage`` is None.
        method: ``random``, ``grid`` or ``bayes``.
        seed: of the values.
        fit: options that are added to every trial.
        storage: URL of a database, ``sqlite:///FILE`` or ``postgresql://…``.

    Raises:
        InputError: for a storage that cannot be opened, or that holds another sweep of this name.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: Path,
        method: str,
        seed: int,
        fit: Sequence[str],
        storage: str | None = None,
    ) -> None:
        self.sweep, self.folder, self.fit = sweep, folder, fit
        self._stop, self._lock = threading.Event(), threading.Lock()
        journal, name = folder / "study.journal", str(sweep.content.get("name", sweep.path.stem))
        folder.mkdir(parents=True, exist_ok=True)
        if storage is None and not journal.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} holds files and no study; name another folder with --out")
        parts: dict[str, Any] = {"method": method, "seed": seed, "fit": list(fit)}
        parts |= {key: sweep.content[key] for key in ("metric", "parameters", "command")}
        parts = json.loads(json.dumps(parts, default=str))
        try:
            self.study = optuna.create_study(
                study_name=name,
                storage=storage or JournalStorage(JournalFileBackend(str(journal))),
                sampler=NumberedSampler(sweep, method, seed),
                pruner=_pruner(sweep),
                direction="maximize" if sweep.maximize else "minimize",
                load_if_exists=True,
            )
        except Exception as error:  # A missing driver, SQLAlchemy's, a damaged journal; a URL has a password.
            said = " ".join(str(error).split())
            raise InputError(f"the study in {folder if storage is None else '--storage'}: {said}") from error
        before = self.study.user_attrs.get("sweep", parts)
        if other := [key for key in parts if before[key] != parts[key]]:
            raise InputError(
                f"the study {name!r} has other {', '.join(other)}; name another folder with --out"
            )
        self.study.set_user_attr("sweep", parts)

    def run(self, count: int, jobs: int = 1, retry: bool = False) -> None:
        """Run trials until the study has ``count``, ``jobs`` at a time, those first that were interrupted.

        Ctrl-C and SIGTERM end the runs after a checkpoint each. With ``retry``, failed trials are repeated.
        """
        trials = self.study.get_trials(deepcopy=False)
        repeated = {each.user_attrs.get(RETRY) for each in trials}
        for each in trials:
            if retry and each.state == TrialState.FAIL and each.number not in repeated:
                self.study.enqueue_trial(each.params, user_attrs={RETRY: each.number})
        with ThreadPoolExecutor(jobs) as pool:
            running = [pool.submit(self._job, count, _environment(place, jobs)) for place in range(jobs)]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
        for job in running:
            job.result()

    def _job(self, count: int, environment: dict[str, str]) -> None:
        while not self._stop.is_set() and (claimed := self._next(count)):
            trial, lock = claimed
            with lock:
                self._train(trial, Path(lock.name).parent, lock, environment)
            with self._lock, replacing(self.folder / "results.csv") as new, new.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.rows[0])
                writer.writeheader()
                writer.writerows(self.rows)

    def _next(self, count: int) -> tuple[optuna.Trial, IO[str]] | None:
        """Return a trial whose process has ended early, or else a new one, with the lock on its folder."""
        with self._lock:
            while True:
                trials = self.study.get_trials(deepcopy=False)
                for each in trials:
                    if each.state == TrialState.RUNNING and (lock := self._claim(each.number)):
                        # Its process may have ended it before it gave the lock back.
                        if self.study.get_trials(deepcopy=False)[each.number].state == TrialState.RUNNING:
                            return optuna.Trial(self.study, each._trial_id), lock
                        lock.close()
                waiting = any(each.state == TrialState.WAITING for each in trials)
                if not waiting and len(trials) - _retries(trials) >= count:
                    return None
                # The next round claims it, here or in another process.
                trial = self.study.ask(self.sweep.parameters)
                (self.folder / f"trial-{trial.number:04d}").mkdir()

    def _claim(self, number: int) -> IO[str] | None:
        """Return the lock on a trial's folder; None if a process has it, or another machine the folder.

        It is not the lock by which ``mm fit`` keeps the folder to itself.
        """
        with contextlib.suppress(OSError):
            lock = (self.folder / f"trial-{number:04d}" / ".trial-lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        return None

    def _train(self, trial: optuna.Trial, root: Path, lock: IO[str], environment: dict[str, str]) -> None:
        begun, metric, error = time.monotonic(), self.sweep.metric, ""
        words = [*fit_options(self.sweep, trial.params), *self.fit, f"--trainer.default_root_dir={root}"]
        if (root / "checkpoints" / "last.ckpt").is_file():
            words.append("--ckpt_path=last")
        with (root / "output.txt").open("ab+") as output:
            before = output.tell()
            run = subprocess.Popen(
                [sys.executable, "-m", "mm", "fit", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C must reach the sweep alone, which ends its runs in order.
                pass_fds=(lock.fileno(),),  # The run may outlive the sweep.
            )
            pruned = self._watch(run, trial, root)
            output.seek(before)
            said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
        values = logged(root, metric)
        best = (max if self.sweep.maximize else min)(values, default=None)
        trial.set_user_attr("seconds", trial.user_attrs.get("seconds", 0.0) + time.monotonic() - begun)
        if run.returncode and self._stop.is_set():
            return
        if run.returncode and not pruned:
            killed = [f"killed by {signal.Signals(-run.returncode).name}"] if run.returncode < 0 else []
            ours = [line for line in said if line.startswith("mm: error: ")]
            error = (killed or ours or said or [f"exit code {run.returncode}"])[-1]
        elif best is None:
            error = f"no finite {metric} was logged"
        trial.set_user_attr("error", error)
        state = TrialState.FAIL if error else TrialState.PRUNED if pruned else TrialState.COMPLETE
        self.study.tell(trial, best if state == TrialState.COMPLETE else None, state)
        print(
            f"trial {trial.number}: {state.name.lower()}, {error or f'{metric} {best}'} ({root})", flush=True
        )

    def _watch(self, run: subprocess.Popen[bytes], trial: optuna.Trial, root: Path) -> bool:
        """Report a run's validations until it ends; return whether it was pruned."""
        reported, pruned = 0, False
        while run.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(POLL)
            for value in logged(root, self.sweep.metric)[reported:]:
                reported += 1
                trial.report(value, reported)
                pruned |= trial.should_prune() and run.returncode is None
            if pruned or self._stop.is_set():
                run.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(GRACE)
                if run.returncode is None:
                    os.killpg(run.pid, signal.SIGKILL)
        return pruned

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a trial: its number, state, metric, seconds, values, and the error of a failed one."""
        trials, names = self.study.get_trials(deepcopy=False), self.sweep.parameters
        return [
            {"trial": each.number, "state": each.state.name.lower(), self.sweep.metric: each.value}
            | {"seconds": each.user_attrs.get("seconds")}
            | {name: each.params.get(name) for name in names}
            | {"error": each.user_attrs.get("error")}
            for each in trials
        ]


def logged(root: Path, metric: str) -> list[float]:
    """Return the finite values of a metric in a run's folder, by step, over all its starts."""
    found: dict[int, float] = {}
    for path in sorted(root.rglob("metrics.csv"), key=lambda path: path.stat().st_mtime):
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                # A killed run may have written half a line.
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    found[int(line["step"])] = float(line[metric])
    return [value for _, value in sorted(found.items()) if math.isfinite(value)]


def _environment(place: int, jobs: int) -> dict[str, str]:
    """Return a run's environment, with its share of the GPUs and of the cores."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        import torch

        named = ",".join(map(str, range(torch.cuda.device_count())))
    cards = named.split(",")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(cards[place % len(cards) :: jobs])
    if jobs > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    return environment
