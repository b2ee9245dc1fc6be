"""Queues as Markov chains: stationary means, and how much is missing of a mean because a run begins empty."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve


def missing(rate: float, service: float, servers: int, h: Callable[[int], float], top: int) -> float:
    """The integral over all time of E h(stationary) - E h(X_t), for M/M/c/top that begins empty.

    Divided by a run's length it bounds the bias of a time average: E h(X_t) rises to its limit when h does.
    From Poisson's equation A f = mean - h, whose solution gives it as E f(stationary) - f(0).
    """
    weights = [1.0]
    while len(weights) <= top and weights[-1] > 1e-250:
        weights.append(weights[-1] * rate * service / min(len(weights), servers))
    top = len(weights) - 1
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    values = [h(n) for n in range(top + 1)]
    mean = math.fsum(p * v for p, v in zip(shares, values, strict=True))
    answer = above = beyond = 0.0
    for n in range(top, 0, -1):  # steps f(n) - f(n - 1), from the far end, where sums lose nothing
        beyond += shares[n]
        above += shares[n] * (values[n] - mean)
        answer += above / (rate * shares[n - 1]) * beyond
    return answer


def shortest_of_two(rate: float, service: float, top: int = 90) -> float:
    """Mean wait [s] when each request joins the shorter of two queues: the chain of both lengths, solved.

    Args:
        rate: arrivals a second.
        service: mean of the exponential service [s].
        top: requests at one server at most; of what is beyond the wait feels less than a millionth here.
    """
    size = top + 1
    flows: dict[tuple[int, int], float] = defaultdict(float)
    for a in range(size):
        for b in range(size):
            here = a * size + b
            moves = [((a - 1) * size + b, 1 / service)] if a else []
            moves += [(a * size + b - 1, 1 / service)] if b else []
            if min(a, b) < top:
                moves.append((here + size if a <= b else here + 1, rate))
            for there, speed in moves:
                flows[there, here] += speed
                flows[here, here] -= speed
    rows, columns = zip(*(place for place in flows if place[0]), strict=True)
    speeds = [speed for (there, _), speed in flows.items() if there]
    total = (
        [0] * size**2,
        range(size**2),
        [1.0] * size**2,
    )  # in place of the first balance: shares add up to 1
    matrix = csc_matrix(([*speeds, *total[2]], ([*rows, *total[0]], [*columns, *total[1]])))
    right = np.zeros(size * size)
    right[0] = 1.0
    shares = spsolve(matrix, right).reshape(size, size)
    lengths = np.maximum(np.arange(size) - 1, 0)
    waiting = float(shares.sum(axis=1) @ lengths + shares.sum(axis=0) @ lengths)
    return waiting / rate


def erlang_wait(rate: float, service: float, turns: int) -> float:
    """Mean wait [s] of one of `turns` exponential servers that get the requests in turn: E_k/M/1.

    The share that waits is the root in (0, 1) of x = A(mu (1 - x)), A the transform of the time between two.
    """
    x = 0.5
    for _ in range(10_000):
        x = (rate / (rate + (1 - x) / service)) ** turns
    return x * service / (1 - x)
