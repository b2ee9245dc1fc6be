"""The backends of the simulated chain, for tests that hold each to the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import pytest

from protocol.ports import ChainTerms
from protocol.units import Address
from sim.chain.contracts import Contracts, ModelContracts


class Backend(Protocol):
    """Makes the contracts at genesis."""

    def __call__(
        self,
        tokens: Mapping[Address, int],
        terms: ChainTerms,
        *,
        history_blocks: int = 128,
        keeps: bool = True,
    ) -> Contracts: ...


def model(tokens: Mapping[Address, int], terms: ChainTerms, **how: Any) -> Contracts:
    return ModelContracts(tokens, terms.payment, **how)


def evm(tokens: Mapping[Address, int], terms: ChainTerms, **how: Any) -> Contracts:
    from sim.chain.evm.contracts import EvmContracts  # needs pyrevm

    return EvmContracts(tokens, terms, **how)


BACKENDS: Final = [pytest.param(model, id="model"), pytest.param(evm, id="evm", marks=pytest.mark.evm)]
