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
# # Who can cheat whom at exit?
#
# A publisher unlocks its channel and goes on consuming. When the unlock time $U$ is over it takes back what was not
# claimed. Its provider looks at the chain once a tick; from the moment of the unlock it sees nothing for a time $O$. If
#
# $$\text{detection} + O + \text{inclusion} < U$$
#
# it finds out in time, claims, and loses nothing.
#
# `scenarios/exit-race/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np
import pandas as pd

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas, heat
from sim.report.style import INKS
from sim.statistics import mean_interval

here = Path("scenarios/exit-race/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each race came to
#
# All times in minutes since the run's start. What a winner took is told in minutes of its pod, whose one core costs
# 1 DAI an hour: $\text{unpaid} \times 60$.

# %%
TICK, BLOCK, SILENT_FROM, UNLOCKED, BEGAN = 5.0, 0.2, 45.0, 45.1, 1.55
TIMEOUT = 10 / 60  # how long a provider waits for an endpoint that says nothing

rows = sweep.results.copy()
rows["claim_min"] = np.ceil(rows["providers.0.policies.claim.with.every.number"] / 60 / TICK) * TICK
rows["every_min"] = rows["providers.0.policies.claim.with.every.number"] / 60
rows["unlock_min"] = rows["providers.0.terms.min_unlock_time.number"] / 60
rows["silent_min"] = SILENT_FROM + rows["faults.0.for.number"] / 60 - UNLOCKED
rows["won"] = rows["channels_unpaid"] / rows["publishers"]
rows["lost_min"] = rows["unpaid_dishonest"] * 60

# %% [markdown]
# ## What the inequality says
#
# A provider's ticks come at $\varphi + kT$, $\varphi$ uniform over the tick $T$ = 5 min. Detection is the wait from the
# end of the silence for the next tick, at most $T$; inclusion the wait for the next block, at most 12 s, but the racer's
# own transaction waits for a block too. So nobody wins where $O + T < U$, everybody where $O > U$, and in between
# the share $(O + T - U)/T$.
#
# A winner keeps what ran between the last claim and the suspension: a provider that has not seen a channel for a third of
# the unlock time suspends the pod, at the first tick at which that is so. Which tick had the last claim follows from $\varphi$
# as well, so that the expected loss is a mean over $\varphi$ of those that win.


# %%
def predicted(unlock_min, silent_min, every_min):
    """The share that wins, and what one racer takes on average, in minutes of its pod."""
    phase = (np.arange(6000) + 0.5) / 6000 * TICK
    end = UNLOCKED + silent_min
    detected = phase + np.ceil((end - phase) / TICK) * TICK
    wins = detected > UNLOCKED + unlock_min
    seen = phase + np.floor((SILENT_FROM - phase) / TICK) * TICK
    claimed = phase + np.ceil((BEGAN + every_min - phase) / TICK) * TICK
    while True:  # the next claim is at the first tick so long after the block that held the last
        mined = (np.floor((claimed - 0.1) / BLOCK) + 1) * BLOCK + 0.1
        later = phase + np.ceil((mined + every_min - phase) / TICK) * TICK
        if not (later <= seen).any():
            break
        claimed = np.where(later <= seen, later, claimed)
    suspended = seen + np.ceil(unlock_min / 3 / TICK) * TICK + TIMEOUT
    return wins.mean(), (wins * (suspended - claimed)).mean()


settings = ["claim_min", "every_min", "unlock_min", "silent_min"]
theory = {key: predicted(key[2], key[3], key[1]) for key, _ in rows.groupby(settings)}
rows["should_win"] = [theory[tuple(row)][0] for row in rows[settings].to_numpy()]
rows["should_lose_min"] = [theory[tuple(row)][1] for row in rows[settings].to_numpy()]
near = rows[(rows["silent_min"] - rows["unlock_min"]).between(-2 * TICK, TICK)]
for (claim, _, unlock, silent), part in near.groupby(settings):
    print(
        f"a claim in {claim:g} min, unlock {unlock:g}, outage {silent:.1f}: {part['won'].mean():.2f} win "
        f"({part['should_win'].mean():.2f} expected), {part['lost_min'].mean() / part['publishers'].mean():.2f} min lost "
        f"each ({part['should_lose_min'].mean():.2f})"
    )

# %% [markdown]
# ## Does a loss come exactly where it says?

# %%
safe, sure = rows["should_win"] == 0, rows["should_win"] == 1
between = rows[~safe & ~sure]


def over(part, above, below):
    """A sum over another, of racers."""
    return part[above].sum() / (part[below] * part["publishers"]).sum()


answers = {
    "racers who win where detection + outage + inclusion < unlock time": Answer(
        jackknifed(rows[safe], lambda part: part["channels_unpaid"].sum()), 0.0
    ),
    "share who win where outage > unlock time": Answer(
        jackknifed(rows[sure], lambda part: part["channels_unpaid"].sum() / part["publishers"].sum()), 1.0
    ),
    "in between, winners over (O + T - U)/T": Answer(
        jackknifed(between, lambda part: over(part, "channels_unpaid", "should_win")), 1.0
    ),
    "loss over the expected, where anybody wins": Answer(
        jackknifed(rows[~safe], lambda part: over(part, "lost_min", "should_lose_min")), 1.0
    ),
}
for claim, part in rows[sure].groupby("claim_min"):
    answers[f"loss of a sure victim, a claim every {claim:g} min"] = Answer(
        jackknifed(part, lambda each: each["lost_min"].sum() / each["publishers"].sum()),
        float(part["should_lose_min"].mean()),
        "min of service",
    )
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}, expected {answer.known:.4g}")

# %%
shows = (
    "What a racer takes on average, in minutes of its pod, against unlock time and outage, for a claim every 10 minutes (left) "
    "and every 30 (right). Below the dashed line (outage + a tick = unlock time) nobody can lose, above the solid one (outage = "
    "unlock time) every provider must."
)
with canvas(2, height=3.9, beside=0.66, key="exit-race") as picture:
    for axes, (claim, part) in zip(picture.axes, rows.groupby("claim_min"), strict=False):
        cells = []
        for (silent, unlock), same in part.groupby(["silent_min", "unlock_min"]):
            one = mean_interval(list(same["lost_min"] / same["publishers"]))
            cells.append(
                {"unlock time [min]": f"{unlock:g}", "outage after the unlock [min]": f"{silent:.1f}",
                 "metric": "taken by a racer", "unit": "min", "mean": one.mean, "low": one.low, "high": one.high}
            )  # fmt: skip
        heat(axes, pd.DataFrame(cells), "unlock time [min]", "outage after the unlock [min]")
        unlocks, silences = (np.unique(part[name]) for name in ("unlock_min", "silent_min"))
        place = np.array([-0.5, len(unlocks) - 0.5])
        unlock = np.interp(place, np.arange(len(unlocks)), unlocks)
        if len(unlocks) > 1:
            unlock = unlocks[0] + place * (unlocks[1] - unlocks[0])
        for minus, style in ((0.0, "-"), (TICK, "--")):
            height = (unlock - minus - silences[0]) / (silences[1] - silences[0])
            axes.plot(place, height, color=INKS["ink"], linestyle=style, linewidth=1.2, alpha=0.7)
        axes.set_xlabel(f"unlock time [min], a claim every {claim:g} min")
picture
