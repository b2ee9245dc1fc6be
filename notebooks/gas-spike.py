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
# # What is the smallest viable provider?
#
# A provider pays gas to be listed and for each transaction, however much it sells, and for each pod's entry in a claim.
# The smallest viable provider is the one whose pods just pay for that. `scenarios/gas-spike/about.md` says what was run.
# This notebook reads the kept results of that sweep, or of the one that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above
from sim.statistics import mean_interval

here = Path("scenarios/gas-spike/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each point made
#
# A provider's profit: what it was paid and is owed, less gas and the cores' running cost.

# %%
WAYS = {"most": "one by one", "when_it_pays": "when it pays"}


def way(text):
    """How a provider claims, from its policy's text."""
    return next((name for word, name in WAYS.items() if word in text), "together")


def path(text):
    """The gas price [gwei] where it is one price, or `spike`."""
    return "spike" if "steps" in text else f"{float(text.split()[0]):g} gwei"


rows = sweep.results.copy()
rows["pods"] = rows["publishers.0.count"]
rows["way"] = [way(text) for text in rows["providers.0.policies.claim"]]
rows["path"] = [path(str(text)) for text in rows["chain.gas_price"]]
for (gas, how), part in rows.groupby(["path", "way"], sort=False):
    made = part.groupby("pods")["profit"].mean()
    print(
        f"{gas:7} {how:12}", "  ".join(f"{pods} pods: {profit:7.2f}" for pods, profit in made.items()), "DAI"
    )

# %% [markdown]
# ## What theory says
#
# A pod is billed a share $b$ of the time (the M/G/1 queue with an idle timer, see `idle-timer`) and leaves a margin $m$
# beside gas. With $F$ gas for what is paid once and $v$ for each pod, $n$ pods make $nm - (F + nv)p$ at a gas price $p$, which is
# nothing at $n^* = Fp / (m - vp)$: proportional to $p$ where gas takes little of a pod's margin, and without end where $vp$
# comes to $m$. Over a path each claim has the price of its time.

# %%
HOURS, MARGIN = 410, 0.03 + 0.004 - 0.02  # DAI for an hour of a core and a GiB, less what the core costs
RATE, IDLE_S, SERVICE_S, START_S = 0.002, 300.0, 2.0, 10.0
LISTING, TRANSACTION, ENTRY = 456_827, 37_629, 13_374  # contracts/gas.json, as sim/chain/gas.py takes it
DAI_A_GAS_AND_GWEI = 2500 * 1e-9

asleep = np.exp(-RATE * IDLE_S)
billed = 1 - asleep / RATE / (1 / RATE + (asleep * START_S + SERVICE_S) / (1 - RATE * SERVICE_S))
POD = HOURS * billed * MARGIN  # DAI
AT_START = {"1 gwei": 1, "2 gwei": 2, "4 gwei": 4, "8 gwei": 8, "spike": 2}
AT_CLAIMS = {name: [price] * 4 for name, price in AT_START.items()} | {"spike": [2, 16, 2, 2]}


def parts(gas, how):
    """What is paid once, and what a pod makes [DAI]."""
    once, claims = LISTING * AT_START[gas], sum(AT_CLAIMS[gas])
    if how == "together":
        once, each = once + TRANSACTION * claims, ENTRY * claims
    else:
        each = (TRANSACTION + ENTRY) * claims
    return once * DAI_A_GAS_AND_GWEI, POD - each * DAI_A_GAS_AND_GWEI


def known(gas, how):
    """The smallest viable size [pods]; infinite where a pod makes a loss."""
    once, pod = parts(gas, how)
    return once / pod if pod > 0 else np.inf


def least(gas, how):
    """The same, simulated: where a straight line through two sizes is nothing, those around it or the nearest to it."""

    def of(part):
        made = part[(part["path"] == gas) & (part["way"] == how)].groupby("pods")["profit"].mean()
        after = min(max(int(np.searchsorted(made.to_numpy() > 0, True)), 1), len(made) - 1)
        (left, right), (low, high) = made.index[after - 1 : after + 1], made.iloc[after - 1 : after + 1]
        return left - low * (right - left) / (high - low) if high > low else np.inf

    return of


def a_pod(gas, how):
    """What one pod more makes, simulated, between the smallest and the largest size [DAI]."""

    def of(part):
        made = part[(part["path"] == gas) & (part["way"] == how)].groupby("pods")["profit"].mean()
        return (made.iloc[-1] - made.iloc[0]) / (made.index[-1] - made.index[0])

    return of


viable = [(gas, how) for gas, how in rows[["path", "way"]].drop_duplicates().itertuples(index=False)
          if how != "when it pays" and known(gas, how) < 10]  # fmt: skip


def over_known(part):
    """Smallest sizes over the formula's, their geometric mean."""
    return np.exp(np.mean([np.log(least(gas, how)(part) / known(gas, how)) for gas, how in viable]))


answers = {"smallest size over the formula's, mean of all": Answer(jackknifed(rows, over_known), 1.0)}
for gas, how in viable:
    answers[f"smallest viable size, {how}, {gas}"] = Answer(
        jackknifed(rows, least(gas, how)), float(known(gas, how)), "pods"
    )
if {"1 gwei", "2 gwei"} <= set(rows["path"]):
    answers["smallest size at 2 gwei over that at 1 gwei, together"] = Answer(
        jackknifed(rows, lambda part: least("2 gwei", "together")(part) / least("1 gwei", "together")(part)),
        float(known("2 gwei", "together") / known("1 gwei", "together")),
    )
answers["what one pod more makes, one by one, spike"] = Answer(
    jackknifed(rows, a_pod("spike", "one by one")), float(parts("spike", "one by one")[1]), "DAI"
)
for how in ("together", "when it pays"):
    expected = known("spike", how) / known("2 gwei", how) if how == "together" else None
    answers[f"smallest size in the spike over that without, {how}"] = Answer(
        jackknifed(rows, lambda part, how=how: least("spike", how)(part) / least("2 gwei", how)(part)),
        expected,
    )
for name, answer in answers.items():
    said = "" if answer.known is None else f", expected {answer.known:.4g}"
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}{said}")

# %%
shows = (
    "Profit against size, at two gas prices and where 2 gwei rise to 16 for 30 of 410 hours: claims of all pods together, one by "
    "one, and when it pays. Dots are simulated with 95 % intervals, lines are the formula; where one crosses 0 is the smallest "
    "viable provider. Lines that fall never do."
)
SAID = {"spike": "2 gwei, 16 in the spike"}
shown = [gas for gas in ("4 gwei", "8 gwei", "spike") if gas in set(rows["path"])]
with canvas(len(shown), height=2.8, beside=0.66, key="gas-spike") as picture:
    for axes, gas in zip(picture.axes, shown, strict=True):
        grid = np.array([0, 16.5])
        for place, how in enumerate(("together", "one by one", "when it pays")):
            colour = INKS[SERIES[place]]
            made = rows[(rows["path"] == gas) & (rows["way"] == how)].groupby("pods")["profit"].agg(list)
            made = made.map(mean_interval)
            if how != "when it pays":
                once, pod = parts(gas, how)
                axes.plot(grid, grid * pod - once, color=colour, linestyle=DASHES[place], linewidth=1.0)
            axes.errorbar(
                made.index, [one.mean for one in made], yerr=[one.high - one.mean for one in made], color=colour,
                linestyle="", marker=MARKS[place], markersize=3.6, label=how,
            )  # fmt: skip
        axes.axhline(0, color=INKS["ink"], linewidth=0.8)
        axes.set_xlim(0, 16.8)
        axes.set_ylim(-35, 40)
        axes.set_xticks([1, 4, 8, 12, 16])
        axes.text(0.05, 0.93, SAID.get(gas, gas), transform=axes.transAxes, color=INKS["soft"])
        axes.set_xlabel("pods")
    picture.axes[0].set_ylabel("profit in 410 h [DAI]")
    legend_above(picture.axes[0], 3, marks=True)
picture
