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
# # Start here
#
# This notebook loads one finished run and asks one question of it:
#
# > **Who pays for being up?** A pod with few requests is billed for the time it stands ready; how much dearer is
# > a request to it than to a busy one?
#
# Make a run first (`make demo`, or `trustedpods run scenarios/azure-marketplace/scenario.yaml`). The last run is
# what `runs/latest` points to; set `TRUSTED_PODS_RUN` to look at another.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from sim.results import load

here = Path("runs/latest")
run = load(os.environ.get("TRUSTED_PODS_RUN", here if here.exists() else ".." / here))
run

# %% [markdown]
# ## What is in a run
#
# The tables are data frames, read when they are first asked for. Money is whole base units as Python integers, so
# that sums are exact; `run.tokens` makes floats of it for drawing. Every column is explained in
# `docs/reference/tables.md`.

# %%
{name: len(run.tables[name]) for name in run.tables}

# %% [markdown]
# The summary has every metric with its unit and, from two replications on, its 95 % interval.

# %%
asked = ("requests_served", "requests_failed", "cold_share", "latency_p50_ms", "spend", "cost_per_million")
pd.DataFrame([run.metric(name) for name in asked])[["name", "mean", "low", "high", "unit", "n"]]

# %% [markdown]
# ## One row for each pod
#
# What a pod's channels owe, less what was served and can never be paid, is what it costs its publisher. The first
# replication is enough to see who is who.

# %%
first = run.tables["publishers"]["replication"].min()
publishers = run.tables["publishers"].query("replication == @first").set_index("pod")
channels = (
    run.tables["channels"].query("replication == @first").assign(pod=lambda rows: rows["pod"].astype(str))
)
cost = (channels["owed"] - channels["unpaid"]).groupby(channels["pod"]).sum()

pods = publishers[["group", "served"]].assign(cost=run.tokens(cost.reindex(publishers.index)))
pods = pods[(pods["served"] > 0) & (pods["cost"] > 0)]
pods["per_million"] = pods["cost"] / pods["served"] * 1e6
pods.sort_values("served", ascending=False).head(10)

# %% [markdown]
# ## The answer

# %%
token = run.provenance["token"]
figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for group, members in pods.groupby("group", observed=True):
    axes.scatter(members["served"], members["per_million"], s=10, alpha=0.6, label=group)
axes.set(
    xscale="log", yscale="log", xlabel="requests answered, a pod", ylabel=f"a million requests [{token}]"
)
axes.axhline(run.metric("cost_per_million")["mean"], color="grey", linewidth=1, label="all requests together")
_ = axes.legend(frameon=False)

# %%
order = pods.sort_values("served")["per_million"]
tenth = max(1, len(order) // 10)
quiet, busy = order.head(tenth).median(), order.tail(tenth).median()
print(
    f"A million requests cost {busy:,.2f} {token} to the busiest tenth of the pods (median) and {quiet:,.2f} to the"
)
print(
    f"quietest tenth: {quiet / busy:,.0f} times as much. Over all requests it is "
    f"{run.metric('cost_per_million')['mean']:,.2f} {token}."
)

# %% [markdown]
# ## Where to go on
#
# * Would a shorter idle time help the quiet ones? Change `scaling` of a publisher with `--set`, run again, compare.
# * `run.tables["events"]` tells what led to what; `run.tables["samples"]` is the world over time.
# * `run.directory / "report.html"` has the other plots.
