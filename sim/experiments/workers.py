"""Evaluations on Dask: on processes of this machine, or on the workers of a cluster that exists.

Dask decides what runs where. What is told here is what to run, and what comes back, in the order in which it
comes. A worker refuses what it would not evaluate as whoever asks would: with other code, files or packages.
"""

from __future__ import annotations

import functools
import logging
import queue
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput, PortError
from sim.experiments.evaluate import BrokenReplication, Evaluation, essential, fingerprint, key_of, measure
from sim.interrupts import Flag, not_inherited
from sim.scenario import loads_resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client, Future

    from sim.scenario import Scenario

CONNECT_S: Final = 10
"""How long a scheduler may take to answer."""
LOOK_S: Final = 0.2
"""How often it is looked whether somebody wants to stop."""
EXTRA: Final = "it needs the extra: pip install 'trusted-pods[experiments]'"
GUARD: Final = 'In a script of your own call it under `if __name__ == "__main__":`.'


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
    more: Callable[[], Mapping[str, Task]] = dict,
    *,
    workers: int,
    scheduler: str | None,
    stop: Flag,
    notice: Callable[[str], None] | None = None,
    client: Client | None = None,
) -> Iterator[tuple[str, Evaluation | Failure]]:
    """Carry out tasks and yield each key with what came of it, as they end; until all have, or `stop` is raised.

    Args:
        tasks: by the keys that their evaluations are kept under, at least one.
        more: asked after each that ended for others that are now to be carried out.
        workers: processes to start, 1 or more; not used with a scheduler.
        scheduler: address of a cluster's scheduler.
        stop: looked at all the time.
        notice: told, in words, what keeps a person waiting.
        client: of `connected`, to be used again; None: one for these tasks alone.

    Raises:
        BadInput: Dask is not installed.
        PortError: the scheduler does not answer, or no longer.
    """
    with ExitStack() as stack:
        if client is None:
            client = stack.enter_context(connected(workers, scheduler, notice))
        done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        waiting: dict[
            str, tuple[str, Future[Any]]
        ] = {}  # one that nobody holds is forgotten by the scheduler

        def submit(tasks: Mapping[str, Task]) -> None:
            for key, task in tasks.items():
                name = f"evaluate-{key}"
                future = client.submit(carry_out, key, task.scenario, task.replication, key=name, pure=False)
                waiting[name] = key, future
                future.add_done_callback(done.put)

        submit(tasks)
        while waiting and not stop.value:
            try:
                future = done.get(timeout=LOOK_S)
            except queue.Empty:
                if client.status != "running":
                    raise _gone(scheduler) from None
                continue
            if future.status not in ("finished", "error"):
                raise _gone(scheduler)
            key, _ = waiting.pop(str(future.key))
            yield key, _result(future)
            submit(more())
        if waiting and scheduler is not None:
            client.cancel([future for _, future in waiting.values()])


@contextmanager
def connected(workers: int, scheduler: str | None, notice: Callable[[str], None] | None) -> Iterator[Client]:
    """Processes of this machine, or a cluster that exists, for as many tasks as come; see `completed`."""
    with ExitStack() as stack:
        yield stack.enter_context(_client(stack, workers, scheduler, notice))


def _gone(scheduler: str | None) -> PortError:
    text = "the scheduler is gone; what is evaluated is kept, and the same command goes on with the rest"
    return PortError(f"--scheduler {scheduler}: {text}", sent=True, retry_after_s=None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask tells a terminal of what is told here as an error or a failure."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _client(
    stack: ExitStack, workers: int, scheduler: str | None, notice: Callable[[str], None] | None
) -> AbstractContextManager[Client]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BadInput(f"a sweep: {error.name} is not installed; {EXTRA}") from error
    stack.enter_context(_quiet())
    if scheduler is None:
        try:
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
        except RuntimeError as error:
            raise BadInput(f"the worker processes do not start: {error} {GUARD}") from error
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


@functools.lru_cache(maxsize=64)
def _read(text: str) -> tuple[Scenario, str]:
    """A scenario and its fingerprint: a worker is given a point's replications one after the other."""
    scenario = essential(loads_resolved(text))
    return scenario, fingerprint(scenario)


def carry_out(key: str, text: str, replication: int) -> dict[str, Any]:
    """One task, in a worker; the record of its evaluation."""
    scenario, print_ = _read(text)
    if key_of(print_, replication) != key:
        raise OtherWorker(
            "a worker has other code, packages or input files than the sweep, so that its values could differ"
        )
    return measure(scenario, replication).to_record()


def _result(future: Future[Any]) -> Evaluation | Failure:
    if future.status == "finished":
        return Evaluation.from_record(future.result())
    from distributed import KilledWorker

    error = future.exception()
    if isinstance(error, KilledWorker):
        return Failure("every worker that tried it died; too little memory is the usual reason")
    ours = isinstance(error, (BadInput, BrokenReplication))
    return Failure(str(error) if ours else f"{type(error).__name__}: {error}")
