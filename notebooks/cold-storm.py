# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does slow start melt the nodes?
#
# A pod at zero is called $\lambda$ times a second, and its replicas need $I$ seconds to start. Until then requests pile up, and a
# scaler that counts what is pending takes the pile for demand.
#
# `scenarios/cold-storm/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above, log_axis, plain_axis
from sim.statistics import mean_interval

here = Path("scenarios/cold-storm/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## The most replicas of each storm
#
# Replicas in any state, those that wait for room on a node included, every two seconds. The storm comes at 2 minutes; from 4
# minutes on each of the twenty neighbours wants a replica too, which is taken off.

# %%
BEGINS_S, NEIGHBOURS_S, ENDS_S = 120, 240, 720
SERVICE_S, TICK_S, ROOM, NEIGHBOURS, NEIGHBOUR_RATE = 2.0, 15.0, 300, 20, 0.1


def rule_of(text):
    """The name of a scaler, and its target."""
    target = 2 if "target_pending_requests: 2" in text.replace('"', "") else 1
    if "per_request" in text:
        return "a replica a request", 1.0
    if "kpa" in text:
        return "KPA, target 0.7", 0.7
    return f"KEDA, target {target}{'' if 'up_add' in text else ', HPA limit'}", float(target)


rows = sweep.results.copy()
rows["rule"] = [rule_of(text)[0] for text in rows["publishers.0.scaling"]]
rows["target"] = [rule_of(text)[1] for text in rows["publishers.0.scaling"]]
rows["rate"] = rows["publishers.0.traffic.poisson.steps.1.rate.number"]
rows["start_s"] = rows["providers.0.cold_start.application.number"]
series = sweep.series
own = series["value"] - NEIGHBOURS * (series["time_s"] >= NEIGHBOURS_S)
most = own.groupby([series["point"], series["replication"]]).max().rename("most")
rows = rows.join(most, on=["point", "replication"])
rows["need"] = rows["rate"] * SERVICE_S
rows["pile"] = rows["rate"] * rows["start_s"] / rows["target"]
rows["turned_away"] = rows["failed_timeout"] / (NEIGHBOURS * NEIGHBOUR_RATE * (ENDS_S - NEIGHBOURS_S))

# %% [markdown]
# ## What theory says
#
# A replica for each request: nobody is free before $I$; then the first ones are, at a rate that grows to $\lambda$ within a
# mean service time $S$ when services are exponential, so that $\lambda(I + S/2)$ are started. `keda` looks every 15 s and asks
# for all that is pending, over the target $k$: the first replicas that count were asked for at its first look and come at
# 15 s + $I$, so the last look before sees $\lambda \cdot 15 \lfloor (15 + I)/15 \rfloor$ pending; with the start-ups here that is
# $\lambda(I + 10)$. The need is $\lambda S$ replicas whatever the start-up.


# %%
def known_most(rule, rate, start_s, target):
    """Replicas at the height of the storm; None where there is no formula."""
    if rule == "a replica a request":
        return rate * (start_s + SERVICE_S / 2)
    if rule in ("KEDA, target 1", "KEDA, target 2"):
        return rate * TICK_S * np.floor((TICK_S + start_s) / TICK_S) / target
    return None


points = []
for (rule, target, rate, start_s), part in rows.groupby(["rule", "target", "rate", "start_s"], sort=False):
    seen, away = mean_interval(list(part["most"])), mean_interval(list(part["turned_away"]))
    known = known_most(rule, rate, start_s, target)
    points.append((rule, rate * start_s / target, rate, start_s, seen))
    print(
        f"{rule}, {rate:g}/s, {start_s:g} s: at most {seen.mean:.1f} ± {seen.high - seen.mean:.1f} replicas"
        f"{'' if known is None else f', by the formula {known:g}'}; need {rate * SERVICE_S:g}; "
        f"neighbours turned away {away.mean:.1%}"
    )


# %%
def over_known(rules):
    """The most over the formula's, the mean of points."""

    def of(part):
        mine = part[part["rule"].isin(rules)].groupby(["rule", "target", "rate", "start_s"])["most"].mean()
        return np.mean(
            [
                value / known_most(rule, rate, start_s, target)
                for (rule, target, rate, start_s), value in mine.items()
            ]
        )

    return of


def slope(rule):
    """Replicas more at most, for each more of λI/target: between the shortest and the longest start-up, at the highest rate."""

    def of(part):
        mine = part[(part["rule"] == rule) & (part["rate"] == part["rate"].max())]
        ends = mine.groupby("start_s")[["most", "pile"]].mean().sort_index()
        return (ends["most"].iloc[-1] - ends["most"].iloc[0]) / (ends["pile"].iloc[-1] - ends["pile"].iloc[0])

    return of


def of_free(which):
    """The most with HPA's limit over that without, at the highest rate and the shortest or longest start-up."""

    def of(part):
        mine = part[
            (part["rate"] == part["rate"].max()) & (part["start_s"] == getattr(part["start_s"], which)())
        ]
        means = mine.groupby("rule")["most"].mean()
        return means["KEDA, target 1, HPA limit"] / means["KEDA, target 1"]

    return of


def away(beyond):
    """Share of the neighbours' requests that were turned away where a storm's most, on average, is beyond the room, or is not."""

    def of(part):
        means = part.groupby("point")[["most", "turned_away"]].mean()
        return means["turned_away"][(means["most"] > ROOM) == beyond].mean()

    return of


def over_need(rule, which):
    """The most over the need, at the highest rate."""

    def of(part):
        start_s = getattr(part["start_s"], which)()
        mine = part[
            (part["rule"] == rule) & (part["rate"] == part["rate"].max()) & (part["start_s"] == start_s)
        ]
        return (mine["most"] / mine["need"]).mean()

    return of


answers = {
    "a replica a request: the most over λ(I + S/2)": Answer(
        jackknifed(rows, over_known(["a replica a request"])), 1.0
    ),
    "KEDA without limit: the most over 15 s · λ ⌊(15 s + I)/15 s⌋/target": Answer(
        jackknifed(rows, over_known(["KEDA, target 1", "KEDA, target 2"])), 1.0
    ),
}
for rule in ("a replica a request", "KEDA, target 1", "KEDA, target 2", "KPA, target 0.7"):
    answers[f"{rule}: growth of the most with λI/target"] = Answer(jackknifed(rows, slope(rule)), 1.0)
answers |= {
    "HPA's limit, shortest start-up: the most over that without limit": Answer(
        jackknifed(rows, of_free("min"))
    ),
    "HPA's limit, longest start-up: the same": Answer(jackknifed(rows, of_free("max"))),
    "KEDA, target 1, longest start-up: the most over the need": Answer(
        jackknifed(rows, over_need("KEDA, target 1", "max"))
    ),
    "neighbours turned away by storms that ask for more than the room": Answer(
        jackknifed(rows, away(beyond=True)), unit="%"
    ),
    "neighbours turned away by the other storms": Answer(jackknifed(rows, away(beyond=False)), unit="%"),
}
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}")

# %%
shows = (
    "Left: replicas over time at the highest rate and the longest start-up, those that wait for room included; the dotted line "
    "is the need, the upper one the room. Right: the most replicas of the storm, against λI/target; the line is "
    "λI/target itself."
)
with canvas(2, height=3.3, legend_rows=2, key="cold-storm") as picture:
    left, right = picture.axes
    highest, longest = rows["rate"].max(), rows["start_s"].max()
    names = list(dict.fromkeys(rows["rule"]))
    for place, rule in enumerate(names):
        colour = INKS[SERIES[place]]
        own = rows[(rows["rule"] == rule) & (rows["rate"] == highest) & (rows["start_s"] == longest)]
        curve = (
            series[series["point"] == own["point"].iloc[0]]
            .groupby("time_s")["value"]
            .agg(list)
            .map(mean_interval)
        )
        minutes = curve.index.to_numpy() / 60
        left.plot(minutes, [one.mean for one in curve], color=colour, linestyle=DASHES[place], label=rule)
        left.fill_between(
            minutes,
            [one.low for one in curve],
            [one.high for one in curve],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        mine = [(pile, seen) for name, pile, _, _, seen in points if name == rule]
        right.errorbar(
            [pile for pile, _ in mine],
            [seen.mean for _, seen in mine],
            yerr=[seen.high - seen.mean for _, seen in mine],
            color=colour, linestyle="", marker=MARKS[place], markersize=3.4, linewidth=1.0,
        )  # fmt: skip
    left.axhline(highest * SERVICE_S, color=INKS["ink"], linestyle=":", linewidth=0.9)
    left.axhline(ROOM, color=INKS["soft"], linestyle=":", linewidth=0.9)
    ends = np.array([min(rows["pile"]), max(rows["pile"])])
    right.plot(ends, ends, color=INKS["soft"], linewidth=0.9)
    plain_axis(left, "x")
    plain_axis(left, "y")
    left.set_xlabel("time [min]")
    left.set_ylabel("replicas")
    left.set_ylim(bottom=0)
    log_axis(right, "x")
    log_axis(right, "y")
    right.set_xlabel("λI/target")
    right.set_ylabel("replicas at most")
    legend_above(left, 3)
picture
