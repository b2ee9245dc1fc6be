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
# # How often should a provider claim?
#
# A claim costs gas $g$. What is not claimed is lost when the provider breaks down for good, which happens at a hazard
# $h$; a pod owes $r$ more every hour. Who claims often pays gas, who claims seldom loses more at once.
#
# `scenarios/claim-cadence/about.md` says what was run. This notebook reads the kept results of that sweep, or of the
# one that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, SERIES, legend_above, log_axis
from sim.statistics import ratio_interval

here = Path("scenarios/claim-cadence/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point cost
#
# What claiming costs is the gas of the claims, and what was served and can never be claimed. Both are put over what all
# pods owed, so that 0 is the best and 1 the worst there is. Providers also pay gas once to be listed, whatever the
# interval; that is the cost at which nobody claims, and the registry's gas is constant.

# %%
EVERY = "providers.0.policies.claim.with.every.number"
MEAN_LIFE = "providers.0.failures.every.exponential.number"
PRICE = "chain.gas_price.number"

rows = sweep.results.copy()
rows["life_h"] = rows[MEAN_LIFE] / 3600
rows["every_h"] = np.ceil(rows[EVERY] / 1200) * 1200 / 3600  # a provider looks every 20 minutes
rows["gas_eth"] = rows[PRICE] * 1e-9

DAI_AN_ETH = 2500
CLAIM_GAS, LISTING_GAS = (
    51_003,
    158_948 + 297_879,
)  # contracts/gas.json: withdrawMany of one; both registrations
RATE = 5 * 0.03 + 5 * 0.004  # DAI an hour: 5 cores and 5 GiB

rows["gas_of_claims"] = rows["gas_cost"] - rows["providers"] * LISTING_GAS * rows["gas_eth"] * DAI_AN_ETH
rows["lost"] = rows["unpaid"]
rows["owed"] = rows["revenue"] + rows["owed_unclaimed"] + rows["unpaid"]

# %% [markdown]
# ## What theory says
#
# Between two claims a provider fails with probability $1 - e^{-hT}$; failures have no memory, so each interval is the
# last one's like. Gas over all that is owed is $(gh/r) / (e^{hT} - 1)$, and the share that is lost
# $1 - hT / (e^{hT} - 1)$. For small $hT$ the sum is $g/(rT) + hT/2$, which is least at $T^* = \sqrt{2g/(rh)}$; the exact
# minimum is where $hT - 1 + e^{-hT} = gh/r$, which is $T^*(1 + hT^*/6)$ to the next order.


# %%
def known_cost(gas_eth, life_h, every_h):
    """Gas and losses over what is owed, exact."""
    x, g = every_h / life_h, CLAIM_GAS * gas_eth * DAI_AN_ETH
    return (g / (RATE * life_h) - x) / np.expm1(x) + 1


def best_h(gas_eth, life_h):
    """T*, in hours."""
    return np.sqrt(2 * CLAIM_GAS * gas_eth * DAI_AN_ETH * life_h / RATE)


# %%
settings = list(rows.groupby(["gas_eth", "life_h"]))
points = []
for (gas_eth, life_h), part in settings:
    for every_h, same in part.groupby("every_h"):
        cost = ratio_interval(list(same["gas_of_claims"] + same["lost"]), list(same["owed"]))
        points.append((gas_eth, life_h, every_h, cost, known_cost(gas_eth, life_h, every_h)))
for gas_eth, life_h, every_h, cost, known in points:
    print(
        f"gas {gas_eth * 1e9:.2f} gwei, a failure in {life_h:g} h, a claim in {every_h:5.2f} h: "
        f"{cost.mean:.4f} ± {(cost.high - cost.low) / 2:.4f}, by the formula {known:.4f}"
    )

# %% [markdown]
# ## Where the cost is least
#
# Of each setting, $a/T + bT$ is fitted to the intervals up to a quarter of the mean life, where theory's curve has that
# shape to 1 %; it is least at $\sqrt{a/b}$. The interval is the jackknife's over replications.


# %%
def fitted_h(part):
    """Where a fit through the simulated costs is least, in hours."""
    sums = (
        part[part["every_h"] <= part["life_h"] / 4]
        .groupby("every_h")[["gas_of_claims", "lost", "owed"]]
        .sum()
    )
    every_h, cost = sums.index.to_numpy(), ((sums["gas_of_claims"] + sums["lost"]) / sums["owed"]).to_numpy()
    terms = np.column_stack([1 / every_h, every_h]) / cost[:, None]
    a, b = np.linalg.lstsq(terms, np.ones(len(cost)), rcond=None)[0]
    return np.sqrt(a / b)


def over_best(part, order=1):
    """The fitted interval over T*, to the first or the second order in hT*: the geometric mean over settings."""
    ratios = []
    for (gas_eth, life_h), same in part.groupby(["gas_eth", "life_h"]):
        best = best_h(gas_eth, life_h)
        ratios.append(fitted_h(same) / (best * (1 + best / life_h / 6) if order == 2 else best))
    return np.exp(np.mean(np.log(ratios)))


def over_known(part):
    """All costs over what the formula says, each as a share of it, their mean."""
    sums = (
        part.groupby(["gas_eth", "life_h", "every_h"])[["gas_of_claims", "lost", "owed"]].sum().reset_index()
    )
    cost = (sums["gas_of_claims"] + sums["lost"]) / sums["owed"]
    return np.mean(cost / known_cost(sums["gas_eth"], sums["life_h"], sums["every_h"]))


answers = {
    "simulated cost over the formula's, mean of all points": Answer(jackknifed(rows, over_known), 1.0),
    "cheapest interval over √(2g/(rh)), mean of all settings": Answer(jackknifed(rows, over_best), 1.0),
    "cheapest interval over T* (1 + hT*/6), mean of all settings": Answer(
        jackknifed(rows, lambda part: over_best(part, order=2)), 1.0
    ),
}
for (gas_eth, life_h), part in settings:
    name = f"cheapest interval, gas {gas_eth * 1e9:g} gwei, a failure in {life_h:g} h"
    answers[name] = Answer(jackknifed(part, fitted_h), float(best_h(gas_eth, life_h)), "h")
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}, expected {answer.known:.4g}")

# %%
shows = (
    "Cost of claiming against the interval: a U for each gas price and hazard. Dots are simulated with 95 % intervals, "
    "lines are the exact formula, rings stand at its approximate minimum √(2g/(rh))."
)
with canvas(height=3.2, legend_rows=2, key="claim-cadence") as picture:
    axes = picture.axes[0]
    grid = np.geomspace(0.25, 7, 200)
    for place, ((gas_eth, life_h), _) in enumerate(settings):
        colour = INKS[SERIES[place]]
        label = f"{gas_eth * 1e9:g} gwei, a failure in {life_h:g} h"
        axes.plot(
            grid, 100 * known_cost(gas_eth, life_h, grid), color=colour, linestyle=DASHES[place], label=label
        )
        mine = [(t, cost) for g, life, t, cost, _ in points if (g, life) == (gas_eth, life_h)]
        at = [t for t, _ in mine]
        axes.vlines(
            at, [100 * c.low for _, c in mine], [100 * c.high for _, c in mine], color=colour, linewidth=1.2
        )
        axes.plot(at, [100 * c.mean for _, c in mine], color=colour, linestyle="", marker="o", markersize=3.2)
        star = best_h(gas_eth, life_h)
        axes.plot([star], [100 * known_cost(gas_eth, life_h, star)], marker="o", markersize=9, fillstyle="none",
                  color=colour)  # fmt: skip
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_yticks([2, 5, 10, 20, 50])
    axes.set_xticks(
        [1 / 3, 2 / 3, 4 / 3, 8 / 3, 16 / 3], ["20 min", "40 min", "1 h 20 min", "2 h 40 min", "5 h 20 min"]
    )
    axes.set_xlabel("a claim every")
    axes.set_ylabel("gas and losses, of what is owed [%]")
    legend_above(axes, 2)
picture
