"""The simulated chains: ledgers on block time, and the adapter that makes one a `Chain` for a party.

What belongs here: `model` (blocks, pool, fees and reorganisations), the contracts behind it (`contracts`: the
rules of `protocol.payment` and `protocol.registry`; `evm`: their bytecode), gas, and the port's adapter. What
does not: a second copy of a rule of the contracts, and anything of one party.
"""
