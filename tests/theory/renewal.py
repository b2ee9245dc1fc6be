"""One replica that goes to zero after an idle time: M/G/1 with start-up, exact; and when its deposit is used up.

p = exp(-rate tau), D = p E[I], D2 = p E[I^2], load = rate E[S];
W = E[S] + rate E[S^2] / (2 (1 - load)) + (2 D + rate D2) / (2 (1 + rate D));
cycle = 1/rate + (D + E[S]) / (1 - load); billed share = 1 - (p / rate) / cycle; starts an hour = 3600 p / cycle.

From an empty pod a deposit of d billed seconds lasts d + U(d) / rate on average: U(d) is the expected number of
stays above zero that begin before d of them is over, each after an exponential time at zero. A stay, `on`, is the
start-up, the busy period of what has come until then, and before the idle time is over at last, as often as it
takes, another request with its busy period. U tends to d / E[on] + E[on^2] / (2 E[on]^2), hence the second term.
"""

from __future__ import annotations

import cmath
import math

from sim.laws import Constant, Exponential, Law


def idle_timer(rate: float, service: Law, start: Law, tau: float) -> tuple[float, float, float]:
    """Time in system [s], billed share, cold starts an hour."""
    p = math.exp(-rate * tau)
    d = p * start.mean
    d2 = p * (start.variance + start.mean**2)
    load = rate * service.mean
    wait = rate * (service.variance + service.mean**2) / (2 * (1 - load))
    w = service.mean + wait + (2 * d + rate * d2) / (2 * (1 + rate * d))
    cycle = 1 / rate + (d + service.mean) / (1 - load)
    return w, 1 - (p / rate) / cycle, 3600 * p / cycle


def stay_above_zero(rate: float, service: Exponential, start: Constant, tau: float) -> tuple[float, float]:
    """E[on] and E[on²], exact [s, s²]: M/G/1 busy periods, a first one with what came during the start-up."""
    s1, s2 = service.mean, service.variance + service.mean**2
    load = rate * s1
    p = math.exp(-rate * tau)
    busy, busy_var = s1 / (1 - load), s2 / (1 - load) ** 3 - (s1 / (1 - load)) ** 2
    work = s1 + rate * start.mean * s1  # on the replica's first readiness
    work_var = service.variance + rate * start.mean * s2
    first, first_var = work / (1 - load), work_var / (1 - load) ** 2 + rate * s2 * work / (1 - load) ** 3
    # The gap before a request that comes in time: exponential, less than tau.
    gap = 1 / rate - tau * p / (1 - p)
    gap2 = (2 / rate**2 - p * (tau**2 + 2 * tau / rate + 2 / rate**2)) / (1 - p)
    again, again_var = gap + busy, gap2 - gap**2 + busy_var
    times, times_var = (1 - p) / p, (1 - p) / p**2
    mean = start.mean + first + times * again + tau
    variance = first_var + times * again_var + times_var * again**2
    return mean, variance + mean**2


def exhaustion_s(billed_s: float, rate: float, service: Exponential, start: Constant, tau: float) -> float:
    """Expected time until so many billed seconds are used up, from an empty pod [s]: exact, by transforms.

    U is inverted by Abate's and Whitt's Fourier series with Euler's summation; its error is below 1e-6.
    """
    mu = 1 / service.mean

    def stay(s: complex) -> complex:
        total = mu + s + rate
        busy = (total - cmath.sqrt(total * total - 4 * rate * mu)) / (2 * rate)
        work = s + rate - rate * busy
        demand = mu / (mu + work)
        first = cmath.exp(-s * start.mean) * demand * cmath.exp(-rate * start.mean * (1 - demand))
        in_time = rate / (rate + s) * (1 - cmath.exp(-(rate + s) * tau))  # no later than tau, with its chance
        return first * math.exp(-rate * tau) / (1 - in_time * busy) * cmath.exp(-s * tau)

    def more(s: complex) -> float:  # transform of U - 1
        on = stay(s)
        return (on / (s * (1 - on))).real

    a, terms, extra = 24.0, 40_000, 14
    total = more(complex(a / (2 * billed_s))) / 2
    sums = []
    for k in range(1, terms + extra + 1):
        total += (-1) ** k * more(complex(a, 2 * k * math.pi) / (2 * billed_s))
        if k >= terms:
            sums.append(total)
    value = math.fsum(math.comb(extra, j) * sums[j] for j in range(extra + 1)) / (1 << extra)
    return billed_s + (1 + math.exp(a / 2) / billed_s * value) / rate
