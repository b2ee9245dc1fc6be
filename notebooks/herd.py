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
# # What does stale information do?
#
# Each publisher draws $d$ of $n$ providers, asks each how loaded it is, and takes the least loaded. What a provider says is up to
# $T$ old. With fresh information more is better; with old information all who ask within $T$ run to the same provider.
#
# `scenarios/herd/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one that
# `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np
from scipy.stats import poisson

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above, plain_axis

here = Path("scenarios/herd/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point came to
#
# The imbalance is the load of the provider with the most pods over the mean, both summed over the sampling instants after
# the warm-up.

# %%
PROVIDERS, LIFETIME_MIN, GAP_MIN = 10, 20, 0.5

rows = sweep.results.copy()
rows["age_min"] = rows["providers.0.terms.load_age.number"] / 60
rows["asked"] = rows["publishers.0.policies.selection.with.size"].astype(int)


def imbalance(part):
    """Of some rows."""
    return part["load_imbalance.above"].sum() / part["load_imbalance.below"].sum()


# %% [markdown]
# ## What theory says
#
# **One is asked** ($d = 1$): whatever it says, the choice is random, so that the pods at each provider are the customers of an
# $M/M/\infty$ queue: Poisson with mean $m = $ arrivals × lifetime $/n$, independent of each other. The greatest of $n$ such numbers is
# expected to be $\sum_k (1 - F(k)^n)$.
#
# **All or two are asked**: there is no closed form for any age, but the model behind it is small (Mitzenmacher, "How useful is old
# information?", 2000: a bulletin board that is renewed every $T$). It is played below with nothing of the simulator: pods come and go, the board
# is copied when somebody looks and it is older than $T$.


# %%
def random_choice(mean):
    """The greatest of n independent Poisson numbers, over their mean."""
    return np.sum(1 - poisson.cdf(np.arange(200), mean) ** PROVIDERS) / mean


def board(asked, age_min, rng, end_min=120.0, from_min=40.0):
    """One run of the bulletin board: the greatest load and the total, summed over minutes, and nothing else."""
    load, told, renewed = np.zeros(PROVIDERS, int), np.zeros(PROVIDERS, int), np.full(PROVIDERS, -1e9)
    now, leaving, above, below, look = 0.0, [], 0.0, 0.0, from_min
    while now < end_min:
        now += rng.exponential(GAP_MIN)
        for until in sorted(one for one in leaving if one[0] <= now):
            while look <= min(until[0], end_min):
                above, below, look = above + PROVIDERS * load.max(), below + load.sum(), look + 2
            load[until[1]] -= 1
        leaving = [one for one in leaving if one[0] > now]
        while look <= min(now, end_min):
            above, below, look = above + PROVIDERS * load.max(), below + load.sum(), look + 2
        drawn = rng.permutation(PROVIDERS)[:asked]
        stale = drawn[now - renewed[drawn] > age_min]
        told[stale], renewed[stale] = load[stale], now
        chosen = drawn[np.argmin(told[drawn])]
        load[chosen] += 1
        leaving.append((now + rng.exponential(LIFETIME_MIN), chosen))
    return above, below


def played(asked, age_min, runs=40):
    """The imbalance of the bulletin board over many runs."""
    rng = np.random.default_rng(7)
    above, below = np.sum([board(asked, age_min, rng) for _ in range(runs)], axis=0)
    return above / below


points = [
    (age, asked, jackknifed(part, imbalance)) for (age, asked), part in rows.groupby(["age_min", "asked"])
]
theory = {(age, asked): played(asked, age) for age, asked, _ in points}
for age, asked, one in points:
    print(
        f"{asked} asked, up to {age:g} min old: {one.mean:.3f} ± {(one.high - one.low) / 2:.3f}; a board alone "
        f"{theory[age, asked]:.3f}"
    )

# %% [markdown]
# ## Who herds?


# %%
def over_board(part):
    """The imbalance over the board's, the mean over points where more than one is asked."""
    mine = part[part["asked"] > 1].groupby(["age_min", "asked"])
    return np.mean([imbalance(same) / theory[key] for key, same in mine])


def against(asked, other, age):
    """How many times as uneven when `asked` are asked as when `other` are."""

    def of(part):
        mine = part[part["age_min"] == age]
        return imbalance(mine[mine["asked"] == asked]) / imbalance(mine[mine["asked"] == other])

    return of


oldest, freshest = rows["age_min"].max(), rows["age_min"].min()
answers = {
    "one asked: imbalance, all ages": Answer(
        jackknifed(rows[rows["asked"] == 1], imbalance),
        float(random_choice(LIFETIME_MIN / GAP_MIN / PROVIDERS)),
    ),
    "more asked: imbalance over the bulletin board's": Answer(jackknifed(rows, over_board), 1.0),
    "fresh: all asked over two asked": Answer(jackknifed(rows, against(10, 2, freshest))),
    "fresh: two asked over one asked": Answer(jackknifed(rows, against(2, 1, freshest))),
    "oldest: all asked over one asked": Answer(jackknifed(rows, against(10, 1, oldest))),
    "oldest: two asked over all asked": Answer(jackknifed(rows, against(2, 10, oldest))),
}
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}, expected {answer.known}")

# %%
shows = (
    "Imbalance against the age of what providers say: all asked is best when it is fresh and a herd when it is old, two asked is good "
    "at any age. Marks with intervals are simulated, lines are a bulletin board played alone; dotted: a choice at random."
)
with canvas(height=3.0, key="herd") as picture:
    axes = picture.axes[0]
    ages = sorted(rows["age_min"].unique())
    for place, asked in enumerate(sorted(rows["asked"].unique())):
        colour = INKS[SERIES[place]]
        at = np.arange(len(ages)) + 0.06 * (place - 1)
        mine = [one for age in ages for a, b, one in points if (a, b) == (age, asked)]
        axes.plot(
            at, [theory[age, asked] for age in ages], color=colour, linestyle=DASHES[place], linewidth=1.0
        )
        axes.vlines(at, [one.low for one in mine], [one.high for one in mine], color=colour, linewidth=1.3)
        axes.plot(at, [one.mean for one in mine], color=colour, linestyle="", marker=MARKS[place], markersize=4,
                  label=f"{asked} asked")  # fmt: skip
    axes.axhline(
        random_choice(LIFETIME_MIN / GAP_MIN / PROVIDERS), color=INKS["soft"], linestyle=":", linewidth=1.0
    )
    axes.set_xticks(range(len(ages)), [f"{age:g}" for age in ages])
    plain_axis(axes, "y")
    axes.set_ylim(bottom=1)
    axes.set_xlabel("age of what providers say, up to [min]")
    axes.set_ylabel("busiest provider over the mean")
    legend_above(axes, 3, marks=True)
picture
