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
# # What deposit and top-up threshold?
#
# A publisher looks at its channel now and then, and tops it up when little is left. A top-up takes its time to count; a
# pod whose channel is used up before that is removed. What is left in the channel meanwhile lies idle.
# `scenarios/deposit-ladder/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import gammaincc
from scipy.stats import norm, poisson

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above, log_axis
from sim.statistics import ratio_interval

here = Path("scenarios/deposit-ladder/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point came to
#
# Removals over the top-ups that were sent, those that came too late included. What lies idle is what is in channels and not owed, as the run ends.

# %%
DELAY = "chain.confirmations"
LOW, AMOUNT = (f"publishers.0.policies.funding.with.{name}.number" for name in ("low", "amount"))

rows = sweep.results.rename(columns={LOW: "low", AMOUNT: "amount"})
BLOCK_S = 12
# Both transactions are believed after so many blocks; the first waits half a block, the second comes one block later.
rows["lead_s"] = 1.5 * BLOCK_S + 2 * BLOCK_S * rows[DELAY]
rows["sent"] = rows["top_ups"] / rows["amount"]
rows["idle"] = rows["locked_at_end"] - rows["owed_unclaimed"]

# %% [markdown]
# ## What theory says
#
# Requests are Poisson and cost an exponential amount, so that what is spent over a time $t$, $D_t$, is compound Poisson. At the
# first look below the threshold $s$ what is left is $s - U$, where $U$, the excess of a renewal process whose steps are $D_R$ ($R$ from
# look to look), has the density $P(D_R > u) / E[D_R]$. The pod is removed if $U + D_L > s$ over the lead time $L$; if $U$ itself is
# more than $s$, it is removed before anything is sent. Over what is sent that is $P(U + D_L > s) / P(U < s)$.

# %%
RATE, JOB, LOOK_S = 0.02, 3 * 36 / 3600, 300.0  # requests a second; DAI each; seconds
STEP = 0.002
GRID = (np.arange(2000) + 0.5) * STEP


@cache
def beyond(time_s, most=120):
    """P(D_t > u) on the grid."""
    counts = np.arange(1, most)
    return poisson.pmf(counts, RATE * time_s) @ gammaincc(counts[:, None], GRID / JOB)


@cache
def known(low, lead_s):
    """Removals for each top-up sent."""
    excess = beyond(LOOK_S) / beyond(LOOK_S).sum()
    inside = low > GRID
    late = np.interp(low - GRID[inside], GRID, beyond(lead_s), left=1 - np.exp(-RATE * lead_s))
    soon = excess[~inside].sum()
    return float(((excess[inside] * late).sum() + soon) / (1 - soon))


def known_low(risk, lead_s):
    """The threshold at which it is `risk`, by bisection [DAI]."""
    low, high = 0.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if known(middle, lead_s) > risk else (low, middle)
    return middle


def known_idle(low, amount, lead_s):
    """What lies idle in a running pod's channel, on average [DAI]: a top-up is in it as soon as it is in a block."""
    excess = (beyond(LOOK_S) * GRID).sum() / beyond(LOOK_S).sum()
    in_block_s = (lead_s + 1.5 * BLOCK_S) / 2
    return low - excess - RATE * JOB * in_block_s + amount / 2


# %%
for (lead_s, low, amount), part in rows.groupby(["lead_s", "low", "amount"]):
    risk = ratio_interval(list(part["evictions"]), list(part["sent"]))
    print(
        f"{lead_s:g} s, below {low:g} DAI {amount:g} more: {part['evictions'].sum():4.0f} of {part['sent'].sum():5.0f} "
        f"removed, {risk.mean:.4f} ± {(risk.high - risk.low) / 2:.4f}, by the formula {known(low, lead_s):.4f}"
    )

# %% [markdown]
# ## The threshold for a risk
#
# Read along a straight line in normal quantiles between the two thresholds around it, all deposits together.

# %%
RISK = 0.05


def low_for(lead_s):
    """The threshold at which a top-up in 20 comes too late."""

    def of(part):
        sums = part[part["lead_s"] == lead_s].groupby("low")[["evictions", "sent"]].sum()
        scores = norm.isf((sums["evictions"] + 0.5) / (sums["sent"] + 1))
        return np.interp(norm.isf(RISK), scores, sums.index)

    return of


def over_known(part):
    """Removals over those that the formula expects, all points together."""
    expected = sum(
        sent * known(low, lead_s)
        for sent, low, lead_s in part[["sent", "low", "lead_s"]].itertuples(index=False)
    )
    return part["evictions"].sum() / expected


def small_over_large(part):
    """Removals of each top-up with the smallest deposit over those with the largest, where both have the same thresholds."""
    ends = part.groupby("amount").apply(over_known, include_groups=False)
    return ends.iloc[0] / ends.iloc[-1]


calm = rows[[known(low, lead_s) < 0.1 for low, lead_s in rows[["low", "lead_s"]].itertuples(index=False)]]


def idle_over_known(part):
    """What lies idle in running pods' channels over the formula's, where few are removed."""
    expected = sum(
        running * known_idle(low, amount, lead_s)
        for running, low, amount, lead_s in part[
            ["pods_running_at_end", "low", "amount", "lead_s"]
        ].itertuples(index=False)
    )
    return (part["idle"] - part["stranded"]).sum() / expected


answers = {
    "removals over the formula's, all points": Answer(jackknifed(rows, over_known), 1.0),
    "removals of a small deposit's top-ups over a large one's": Answer(
        jackknifed(rows, small_over_large), 1.0
    ),
    "idle money over the formula's, where fewer than 10 % are removed": Answer(
        jackknifed(calm, idle_over_known), 1.0
    ),
}
leads = sorted(set(rows["lead_s"]))
for lead_s in leads:
    answers[f"threshold for a risk of 5 %, a lead time of {lead_s:g} s"] = Answer(
        jackknifed(rows, low_for(lead_s)), float(known_low(RISK, lead_s)), "DAI"
    )
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}, expected {answer.known:.4g}")

# %%
shows = (
    "What lies idle in a pod's channel against how many top-ups come too late, for thresholds that grow to the right: deposits of "
    "1 DAI (left) and 2 DAI (right), for each lead time. Dots are simulated, with 95 % intervals (of the idle money thin: it is seen at one instant), lines are the formula."
)
with canvas(2, height=3.0, beside=0.64, key="deposit-ladder") as picture:
    for axes, (amount, same) in zip(picture.axes, rows.groupby("amount"), strict=True):
        for place, lead_s in enumerate(leads):
            colour = INKS[SERIES[place]]
            lows = np.linspace(0.15, 0.85, 60)
            axes.plot(
                [known_idle(low, amount, lead_s) for low in lows],
                [100 * known(low, lead_s) for low in lows],
                color=colour, linestyle=DASHES[place], linewidth=1.0,
            )  # fmt: skip
            points = [part for _, part in same[same["lead_s"] == lead_s].groupby("low")]
            risk = [ratio_interval(list(part["evictions"]), list(part["sent"])) for part in points]
            idle = [
                ratio_interval(list(part["idle"] - part["stranded"]), list(part["pods_running_at_end"]))
                for part in points
            ]
            x, y = [one.mean for one in idle], [100 * one.mean for one in risk]
            axes.hlines(y, [one.low for one in idle], [one.high for one in idle], color=colour, linewidth=0.5)
            axes.vlines(x, [max(1e-3, 100 * one.low) for one in risk], [100 * one.high for one in risk], color=colour,
                        linewidth=1.2)  # fmt: skip
            axes.plot(
                x,
                y,
                color=colour,
                linestyle="",
                marker=MARKS[place],
                markersize=3.6,
                label=f"a lead time of {lead_s:g} s",
            )
        log_axis(axes, "y")
        axes.set_ylim(0.1, 105)
        axes.set_xlabel(f"idle in a pod's channel [DAI], deposits of {amount:g} DAI")
    picture.axes[0].set_ylabel("top-ups too late [%]")
    legend_above(picture.axes[0], 3, marks=True)
picture
