"""Evaluations on Dask: on processes of this machine, or on the workers of a cluster that exists.

Dask decides what runs where. What is told here is what to run, and what comes back, in the order in which it
comes. A worker refuses what it would not evaluate as whoever asks would: with other code, files or packages.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput, PortError
from sim.experiments.evaluate import BrokenReplication, Evaluation, essential, fingerprint, key_of, measure
from sim.interrupts import Flag, not_inherited
from sim.scenario import loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future

CONNECT_S: Final = 10
"""How long a scheduler may take to answer."""
LOOK_S: Final = 0.2
"""How often it is looked whether somebody wants to stop."""
EXTRA: Final = "it needs the extra: pip install 'trusted-pods[experiments]'"


class OtherWorker(BadInput):
    """A worker would evaluate something else than was asked for."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked.

    Args:
        scenario: made by `essential`, resolved.
        replication: its number.
    """

    scenario: str
    replication: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no evaluation, in words."""

    reason: str


def completed(
    tasks: Mapping[str, Task],
    *,
    workers: int,
    scheduler: str | None,
    stop: Flag,
    notice: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, Evaluation | Failure]]:
    """Carry out tasks and yield each key with what came of it, as they end; until all have, or `stop` is raised.

    Args:
        tasks: by the keys that their evaluations are kept under.
        workers: processes to start, 1 or more; not used with a scheduler.
        scheduler: address of a cluster's scheduler.
        stop: looked at all the time.
        notice: told, in words, what keeps a person waiting.

    Raises:
        BadInput: Dask is not installed.
        PortError: the scheduler does not answer.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_client(stack, min(workers, len(tasks)), scheduler, notice))
        done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        futures = [
            client.submit(carry_out, key, task.scenario, task.replication, key=f"evaluate-{key}", pure=False)
            for key, task in tasks.items()
        ]
        waiting = {future.key: key for future, key in zip(futures, tasks, strict=True)}
        for future in futures:
            future.add_done_callback(done.put)
        del futures[:]
        while waiting and not stop.value:
            try:
                future = done.get(timeout=LOOK_S)
            except queue.Empty:
                if client.status != "running":
                    yield from ((key, Failure("the scheduler is gone")) for key in waiting.values())
                    return
                continue
            yield waiting.pop(future.key), _result(future)
        if waiting and scheduler is not None:
            client.cancel([f"evaluate-{key}" for key in waiting.values()], force=True)


def _client(
    stack: ExitStack, workers: int, scheduler: str | None, notice: Callable[[str], None] | None
) -> AbstractContextManager[Client]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BadInput(f"a sweep: {error.name} is not installed; {EXTRA}") from error
    if scheduler is None:
        with not_inherited():
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    security=True,  # or every user of the machine could have code run by the workers
                    dashboard_address=None,
                    memory_limit=None,
                    silence_logs=logging.CRITICAL,
                )
            )
            return Client(cluster)
    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise PortError(
            f"--scheduler {scheduler}: no scheduler answers there: {error}", sent=False, retry_after_s=None
        ) from error
    if notice is not None and not client.scheduler_info()["workers"]:
        notice(f"{scheduler} has no workers yet; waiting for some ...")
    return client


def carry_out(key: str, text: str, replication: int) -> dict[str, Any]:
    """One task, in a worker; the record of its evaluation."""
    scenario = essential(loads(text))
    if key_of(fingerprint(scenario), replication) != key:
        raise OtherWorker(
            "a worker has other code, packages or input files than the sweep, so that its values could differ"
        )
    return measure(scenario, replication).to_record()


def _result(future: Future[Any]) -> Evaluation | Failure:
    if future.status == "finished":
        return Evaluation.from_record(future.result())
    if future.status != "error":
        return Failure(f"it was {future.status}: the scheduler no longer knows it")
    error = future.exception()
    ours = isinstance(error, (BadInput, BrokenReplication))
    return Failure(str(error) if ours else f"{type(error).__name__}: {error}")
