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
# # Who bears the token's volatility?
#
# The rate $S$ of the token is a geometric Brownian motion without drift, of volatility $\sigma$. A provider looks at it every
# $L$ and lists token prices that are worth 1 an hour then; a publisher comes a time $\ell$ after such a look, takes them
# for as long as its pod runs, and deposits what is worth $D$ at the rate it knows. There is one pod a world, so that
# each replication is one life.
#
# `scenarios/volatile-token/about.md` says what was run. This notebook reads the kept results of that sweep, or of the one
# that `TRUSTED_PODS_SWEEP` names.

# %%
import os
from pathlib import Path

import numpy as np
from scipy.stats import norm

import sim
from sim.experiments.answers import Answer, jackknifed
from sim.report.charts import canvas, survival
from sim.report.style import DASHES, INKS, MARKS, SERIES, legend_above, plain_axis
from sim.statistics import mean_interval

here = Path("scenarios/volatile-token/results")
sweep = sim.load_sweep(os.environ.get("TRUSTED_PODS_SWEEP") or (here if here.exists() else ".." / here))
sweep

# %% [markdown]
# ## What each life came to
#
# The publisher paid $D$ for $H$ hours, so that an hour cost it $D/H$, where 1 was listed. Its provider was paid in tokens,
# each worth what it was when it was claimed.

# %%
HOURS, CLAIM_H = 48, 0.5

rows = sweep.results.copy()
rows["sigma"] = rows["tokens.payment.rate.gbm.volatility"].astype(float)
rows["worth"] = rows["publishers.0.policies.funding.with.first"].astype(float)
rows["look_h"] = rows["providers.0.policies.price.with.every.number"] / 3600
rows["hours"] = rows["replica_s_billed"] / 3600
rows["over"] = rows["exhaustions"] > 0
rows["income"] = rows["spend_fiat"] / rows["worth"]  # of what the publisher paid for the tokens

# %% [markdown]
# ## What theory says
#
# **The token.** $E[1/S_t] = e^{\sigma^2 t}/S_0$.
#
# **The publisher.** $D$ buys $H = D \cdot S_\text{look}/S_\text{deposit}$ hours, whose logarithm is normal with mean
# $\sigma^2 \ell/2$ and variance $\sigma^2 \ell$, $\ell$ uniform between 0 and $L$. With $x = \sigma^2 L$ the
# logarithm has the variance $x/2 + x^2/48$. Nothing that happens after the deposit changes it.
#
# **The provider.** What it is paid is worth $D \cdot A$, $A$ the mean of $S_t/S_\text{deposit}$ over the instants at which it claims,
# $t = \Delta, 2\Delta, \ldots, n\Delta = D$: expected to be 1, with the variance $\frac{1}{n^2} \sum_{ij} e^{\sigma^2 \min(t_i, t_j)} - 1$,
# which is $\sigma^2 D/3$ for small steps, to the first order. It grows with the deposit and hardly depends on the look.


# %%
def log_hours_sd(sigma, look_h):
    """Standard deviation of ln H."""
    x = sigma**2 * look_h
    return np.sqrt(x / 2 + x**2 / 48)


def income_sd(sigma, worth):
    """Standard deviation of A, the mean worth of a token over the claims of a life as long as it was paid for."""
    t = np.arange(CLAIM_H, worth + CLAIM_H / 2, CLAIM_H)
    return np.sqrt(np.exp(sigma**2 * np.minimum.outer(t, t)).mean() - 1)


def surviving(t, sigma, worth, look_h):
    """The share of pods that still run t hours after the deposit: a mean of log-normal tails over the age of the price."""
    age = (np.arange(400) + 0.5) / 400 * look_h
    spread = sigma * np.sqrt(age)
    middle = np.log(worth) + sigma**2 * age / 2
    return norm.sf((np.log(np.maximum(t, 1e-9))[:, None] - middle) / spread).mean(axis=1)


for (sigma, worth, look_h), part in rows.groupby(["sigma", "worth", "look_h"]):
    print(
        f"σ {sigma:g}, D {worth:g}, a look in {look_h:g} h: ln H varies by {np.log(part['hours'] / worth).std():.4f} "
        f"({log_hours_sd(sigma, look_h):.4f} expected), the provider's income by {part['income'].std():.4f} "
        f"({income_sd(sigma, worth):.4f}); {part['over'].mean():.0%} ran out"
    )

# %% [markdown]
# ## Against theory
#
# A standard deviation over its theory is put together over points as a root mean square. All points with one $\sigma$ see
# the same path in the same replication, so intervals are the jackknife's over replications.


# %%
def log_hours(part):
    """ln H, over what was paid for."""
    return np.log(part["hours"] / part["worth"])


def spread_over(part, of, known):
    """A standard deviation over what theory says of it: the root mean square over points."""
    points = part.groupby(["sigma", "worth", "look_h"])
    return np.sqrt(np.mean([np.var(of(same), ddof=1) / known(*key) ** 2 for key, same in points]))


def tokens(part):
    """Tokens per numéraire at the end over e^(σ²t), the mean over volatilities."""
    each = part.groupby("sigma")["tokens_per_fiat"].mean()
    return np.mean([value / np.exp(sigma**2 * HOURS) for sigma, value in each.items()])


stale, fresh = rows[rows["look_h"] > 1], rows[rows["look_h"] < 1]
answers = {
    f"tokens per numéraire at the end, σ = {sigma:g}": Answer(
        mean_interval(list(part.groupby("replication")["tokens_per_fiat"].first())),
        float(np.exp(sigma**2 * HOURS)),
    )
    for sigma, part in rows.groupby("sigma")
} | {
    "tokens per numéraire over e^(σ²t), mean of all σ": Answer(jackknifed(rows, tokens), 1.0),
    "hours bought at old prices: spread over the formula's": Answer(
        jackknifed(
            stale, lambda part: spread_over(part, log_hours, lambda s, d, look: log_hours_sd(s, look))
        ),
        1.0,
    ),
    "hours bought at fresh prices: spread of the logarithm": Answer(
        jackknifed(fresh, lambda part: log_hours(part).std())
    ),
    "provider's income: spread over the formula's": Answer(
        jackknifed(
            rows,
            lambda part: spread_over(part, lambda same: same["income"], lambda s, d, look: income_sd(s, d)),
        ),
        1.0,
    ),
    "provider's income over what was paid, mean": Answer(
        jackknifed(rows, lambda part: part["income"].mean()), 1.0
    ),
}
for name, answer in answers.items():
    print(f"{name}: {answer.estimate.mean:.4g} ± {answer.half:.2g}, expected {answer.known}")

# %%
shows = (
    "Left: how long pods last on a deposit worth 16 hours, the more unequally the older the prices; bands are simulated, thin lines theory. "
    "Right: what varies for whom: the price that a publisher pays for an hour with the time between looks, a provider's income with "
    "the deposit, lines are theory."
)
with canvas(2, height=3.1, legend_rows=2, key="volatile-token") as picture:
    left, right = picture.axes
    sigma, worth = rows["sigma"].max(), rows["worth"].max()
    mine = rows[(rows["sigma"] == sigma) & (rows["worth"] == worth)]
    names = {0.1: "6 min"}
    lives = {
        f"look: {names.get(look_h, f'{look_h:g} h')}": [
            (np.array([hours]), np.array([over]))
            for hours, over in zip(same["hours"], same["over"], strict=True)
        ]
        for look_h, same in mine.groupby("look_h")
    }
    survival(left, lives, end=1.75 * worth, word="h")
    grid = np.linspace(0.4 * worth, 1.75 * worth, 300)
    for place, look_h in enumerate(sorted(mine["look_h"].unique())):
        left.plot(grid, 100 * surviving(grid, sigma, worth, look_h), color=INKS[SERIES[place]], linewidth=0.8)
    left.set_xlim(0.4 * worth, 1.75 * worth)
    legend_above(left, 3)
    at = np.linspace(0.01, rows["look_h"].max(), 60)
    sides = [("price of an hour", log_hours, lambda d: [log_hours_sd(sigma, one) for one in at])]
    sides += [("income", lambda same: same["income"], lambda d: [income_sd(sigma, d)] * len(at))]
    place = 0
    for side, of, known in sides:
        for worth, part in rows[rows["sigma"] == sigma].groupby("worth"):
            colour = INKS[SERIES[place]]
            right.plot(at, 100 * np.array(known(worth)), color=colour, linestyle=DASHES[place], linewidth=0.9)
            for shift, (look_h, same) in enumerate(part.groupby("look_h")):
                spread = jackknifed(same, lambda each, of=of: of(each).std())
                x = look_h + 0.12 * (place - 1.5)
                right.vlines(x, 100 * spread.low, 100 * spread.high, color=colour, linewidth=1.1)
                right.plot(x, 100 * spread.mean, color=colour, linestyle="", marker=MARKS[place], markersize=3.4,
                           label=f"{side}, D = {worth:g}" if not shift else None)  # fmt: skip
            place += 1
    plain_axis(right, "x")
    plain_axis(right, "y")
    right.set_ylim(bottom=0)
    right.set_xlabel("time between looks at the rate [h]")
    right.set_ylabel(f"standard deviation, σ = {sigma:g} [%]")
    legend_above(right, 2, marks=True)
picture
