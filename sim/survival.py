"""How long things last when some are still there at the end: the product-limit estimate.

Kaplan and Meier, Journal of the American Statistical Association 53, 1958: at each instant at which something
ended, the share that lasts is multiplied by the share of those still at risk that did not end. What was taken
away, or had not ended when the watching did, counts as at risk for as long as it was seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = np.ndarray[Any, np.dtype[np.float64]]


def kaplan_meier(durations: Sequence[float] | Floats, ended: Sequence[bool] | Any) -> tuple[Floats, Floats]:
    """The share that lasts beyond each instant at which something ended.

    Args:
        durations: how long each was seen, 0 or more, in any unit, all in one; at least one.
        ended: whether it ended then; false where it was only seen so long (censored).

    Returns:
        the instants at which something ended, ascending, and the share that lasts beyond each. Before the first it
        is 1, after the last it stays until the longest duration; beyond that it is 0 if all had ended, else not known.

    Raises:
        ValueError: there is nothing, the two differ in length, or a duration is negative or not a number.
    """
    spans, over = np.asarray(durations, dtype=np.float64), np.asarray(ended, dtype=np.bool_)
    if not len(spans) or len(spans) != len(over):
        raise ValueError(f"{len(spans)} durations and {len(over)} endings make no curve")
    if not (spans >= 0).all():
        raise ValueError(f"durations must be 0 or more: {spans[~(spans >= 0)][0]}")
    instants, deaths = np.unique(spans[over], return_counts=True)
    at_risk = len(spans) - np.searchsorted(np.sort(spans), instants, side="left")
    return instants, np.asarray(np.cumprod(1 - deaths / at_risk), dtype=np.float64)


def survival_at(times: Floats, durations: Sequence[float] | Floats, ended: Sequence[bool] | Any) -> Floats:
    """The share that lasts beyond each of `times`; NaN beyond the longest duration, unless all had ended.

    Args:
        times: in the unit of the durations.
        durations: see `kaplan_meier`.
        ended: likewise.
    """
    instants, shares = kaplan_meier(durations, ended)
    curve = np.concatenate([[1.0], shares])[np.searchsorted(instants, times, side="right")]
    return np.where((times <= np.max(durations)) | (curve == 0), curve, np.nan)
