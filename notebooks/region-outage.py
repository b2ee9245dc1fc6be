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
# # Do the survivors collapse when a region is lost?
#
# The pods of a lost region are rented anew where others already are, and share its processors. Where those do not suffice,
# answers come late; clients that waited in vain try again, and so the load grows by what was not answered.
#
# `scenarios/region-outage/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import functools
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above, plain_axis
from sim.statistics import mean_interval

here = Path("scenarios/region-outage/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point served
#
# Of the requests that users make, 0.5 a second and pod, those answered: while the refugees are there (68 to 80 minutes), and
# when they have left again (90 to 100 minutes) and the load is what it was before.

# %%
RESIDENTS, RATE, PATIENCE_S, SERVICE_S = 20, 0.5, 20.0, 1.0
BEFORE_S, CROWDED_S, AFTER_S = (600, 3600), (4080, 4800), (5400, 6000)
LEAVE_S = 4800
CLIENTS = {"60s": "5 retries, 60 s apart", "1s": "5 retries, 1 s apart"}
ONCE, SOON, LATE = "no retries", CLIENTS["1s"], CLIENTS["60s"]


def client_of(text):
    """The name of what clients do, and how often they try again."""
    if "retries" not in text:
        return ONCE
    return LATE if "60s" in text else SOON


rows = sweep.results.copy()
rows["client"] = rows["publishers.1.client"].map(client_of)
rows["tries"] = np.where(rows["client"] == ONCE, 1, 6)
rows["refugees"] = rows["publishers.0.count"]
rows["cores"] = rows["providers.1.nodes.0.cpu"].astype(float)
rows["load"] = (RESIDENTS + rows["refugees"]) * RATE * SERVICE_S / rows["cores"]
series = sweep.series


def served_per_s(window):
    """Answers a second between two instants, by point and replication."""
    inside = series[(series["time_s"] > window[0]) & (series["time_s"] <= window[1])]
    return inside.groupby(["point", "replication"])["value"].mean()


for name, window, pods in (
    ("before", BEFORE_S, RESIDENTS),
    ("crowded", CROWDED_S, RESIDENTS + rows["refugees"]),
    ("after", AFTER_S, RESIDENTS),
):
    rows = rows.join(served_per_s(window).rename(f"{name}_per_s"), on=["point", "replication"])
    rows[name] = rows[f"{name}_per_s"] / (pods * RATE)

# %% [markdown]
# ## What theory says
#
# A pod is a queue with one server whose users give up after $\tau$. With arrivals $\lambda$ and service $\mu$, both without
# memory, the wait of who comes is 0 with probability $P_0$, has the density $\lambda P_0 e^{(\lambda - \mu)w}$ up to $\tau$ and
# falls as $e^{-\mu(w - \tau)}$ beyond, where nobody waits to be served any more; who waits $w$ is answered in time with probability
# $1 - e^{-\mu(\tau - w)}$. The $n$ pods share $c$ cores: $\mu = \min(1, c/(nb))$ a second, where $b = 1 - P_0$ is the share that is busy. Who is
# not answered tries again, $k$ times: $\lambda = \lambda_0 (1 + q + \dots + q^k)$, where $q$ is the chance of failing. Solved from
# little load upwards and from the most load downwards it can have two solutions: then what happened before decides.


# %%
def one_queue(rate, mu):
    """Chances that a pod is idle, and that an attempt is answered in time."""
    d, t = rate - mu if abs(rate - mu) > 1e-9 else 1e-9, PATIENCE_S
    grown = np.exp(d * t)
    idle = 1 / (1 + rate * (grown - 1) / d + rate * grown / mu)
    in_time = idle * (
        (1 - np.exp(-mu * t)) + rate * (grown - 1) / d - np.exp(-mu * t) * (np.exp(rate * t) - 1)
    )
    return idle, in_time


@functools.cache
def mean_field(cores, refugees, tries, crowded_before):
    """Share of requests answered, of residents and refugees; from little load upwards, or from the most downwards."""
    groups = [(RESIDENTS, tries), (refugees, 1)]
    rates = [RATE * (most if crowded_before else 1) for _, most in groups]
    mu = min(1.0, cores / (RESIDENTS + refugees)) if crowded_before else 1.0
    for _ in range(4000):
        found = [one_queue(rate, mu) for rate in rates]
        busy = sum(size * (1 - idle) for (size, _), (idle, _) in zip(groups, found, strict=True))
        mu += 0.1 * (min(1.0, cores / max(busy, 1e-9)) / SERVICE_S - mu)
        for place, ((_, most), (_, in_time)) in enumerate(zip(groups, found, strict=True)):
            wanted = RATE * sum((1 - in_time) ** tried for tried in range(most))
            rates[place] += 0.1 * (wanted - rates[place])
    answered = [
        size * (1 - (1 - one_queue(rate, mu)[1]) ** most)
        for (size, most), rate in zip(groups, rates, strict=True)
    ]
    return sum(answered) / (RESIDENTS + refugees)


points = []
for (cores, refugees, client), part in rows.groupby(["cores", "refugees", "client"], sort=False):
    tries = int(part["tries"].iloc[0])
    crowded, after = mean_interval(list(part["crowded"])), mean_interval(list(part["after"]))
    known = mean_field(cores, refugees, tries, False), mean_field(cores, refugees, tries, True)
    later = mean_field(cores, 0, tries, False), mean_field(cores, 0, tries, True)
    points.append((cores, refugees, client, part["load"].iloc[0], crowded, after, known, later))
    print(
        f"{cores:g} cores, {refugees} refugees, load {part['load'].iloc[0]:.2f}, {client}: served {crowded.mean:.3f} ± "
        f"{crowded.high - crowded.mean:.3f} (theory {known[0]:.3f}, {known[1]:.3f}), when they have left {after.mean:.3f} ± "
        f"{after.high - after.mean:.3f} (theory {later[0]:.3f}, {later[1]:.3f})"
    )


# %%
def against(window, clients, most, of_all):
    """Served over theory's, by theory from little load or from the most: the mean of points that `of_all` takes."""

    def of(part):
        mine = part[part["client"].isin(clients)]
        ratios = []
        for (cores, refugees, tries), same in mine.groupby(["cores", "refugees", "tries"]):
            if of_all(same["load"].iloc[0], cores):
                crowd = refugees if window == "crowded" else 0
                ratios.append(same[window].mean() / mean_field(cores, crowd, tries, most))
        return np.mean(ratios)

    return of


def extreme(pick, of_all):
    """The lowest or the highest served share without retries of the points with such a load, crowded."""

    def of(part):
        mine = part[(part["client"] == ONCE) & part["load"].map(of_all)]
        return pick(mine.groupby("point")["crowded"].mean())

    return of


def after(client, cores):
    """Served share when the refugees have left, where the share lost was the largest."""

    def of(part):
        mine = part[(part["client"] == client) & (part["cores"] == cores)]
        return mine[mine["refugees"] == part["refugees"].max()]["after"].mean()

    return of


answers = {
    "no retries, load below what is left: the lowest served share": Answer(
        jackknifed(rows, extreme(min, lambda load: load < 1)), unit="%"
    ),
    "no retries, load above what is left: the highest served share": Answer(
        jackknifed(rows, extreme(max, lambda load: load > 1)), unit="%"
    ),
    "no retries, load above: served over theory's, mean of points": Answer(
        jackknifed(rows, against("crowded", [ONCE], False, lambda load, _: load > 1)), 1.0
    ),
    "retries 1 s apart, load of 1.4 and more: served over theory's, mean of points": Answer(
        jackknifed(rows, against("crowded", [SOON], True, lambda load, _: load > 1.4)), 1.0
    ),
}
tightest, widest = min(rows["cores"]), max(rows["cores"])
for cores in sorted(set(rows["cores"])):
    for client in dict.fromkeys(rows["client"]):
        known = mean_field(cores, 0, 1 if client == ONCE else 6, True)
        answers[f"half lost and the refugees gone, {cores:g} cores for a load of 10, {client}"] = Answer(
            jackknifed(rows, after(client, cores)), float(known), "%"
        )
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}")

# %%
shows = (
    "Left: requests answered over time, of those made, half of the pods lost at 2 minutes, 12 cores left for the 10 that the "
    "others need; the refugees come at 63 minutes and leave at 80. Right: answered while the refugees are there against the load, "
    "over the cores left; the lines are the theory of a queue whose users give up."
)
with canvas(2, height=3.2, key="region-outage") as picture:
    left, right = picture.axes
    crowd = max(rows["refugees"])
    for place, client in enumerate(dict.fromkeys(rows["client"])):
        colour = INKS[SERIES[place]]
        own = rows[(rows["client"] == client) & (rows["cores"] == tightest) & (rows["refugees"] == crowd)]
        curve = series[(series["point"] == own["point"].iloc[0]) & (series["time_s"] > 300)]
        curve = curve.assign(minute=np.ceil(curve["time_s"] / 120) * 2)  # means of two minutes
        pods = np.where(curve["time_s"] <= LEAVE_S, RESIDENTS + crowd, RESIDENTS)
        curve = curve.assign(share=100 * curve["value"] / (pods * RATE))
        shares = (
            curve.groupby(["minute", "replication"])["share"]
            .mean()
            .groupby("minute")
            .agg(list)
            .map(mean_interval)
        )
        minutes = shares.index.to_numpy() - 1
        left.plot(minutes, [one.mean for one in shares], color=colour, linestyle=DASHES[place], label=client)
        left.fill_between(
            minutes,
            [one.low for one in shares],
            [one.high for one in shares],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        mine = sorted((load, crowded) for _, _, name, load, crowded, *_ in points if name == client)
        right.errorbar(
            [load for load, _ in mine],
            [100 * seen.mean for _, seen in mine],
            yerr=[100 * (seen.high - seen.mean) for _, seen in mine],
            color=colour, linestyle="", marker=MARKS[place], markersize=3.4, linewidth=1.0,
        )  # fmt: skip
        if client != LATE:  # theory knows no back-off
            lines = sorted(
                (load, known[client != ONCE]) for _, _, name, load, _, _, known, _ in points if name == client
            )
            right.plot(
                [load for load, _ in lines], [100 * share for _, share in lines], color=colour,
                linestyle=DASHES[place], linewidth=0.9,
            )  # fmt: skip
    right.axvline(1, color=INKS["soft"], linestyle=":", linewidth=0.9)
    for axes in (left, right):
        plain_axis(axes, "x")
        plain_axis(axes, "y")
        axes.set_ylim(0, 118)
        axes.set_ylabel("answered [%]")
    left.set_xlabel("time [min]")
    right.set_xlabel("load, of the cores left")
    legend_above(left, 3)
picture
