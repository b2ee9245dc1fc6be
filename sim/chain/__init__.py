"""The simulated chains: ledgers on block time, and the adapter that makes one a `Chain` for a party.

What belongs here: `model` (the rules of `protocol.payment` and `protocol.registry` carried out block by
block), other ledgers with the same calls, gas, and the port's adapter. What does not: a second copy of a
rule of the contracts, and anything of one party.
"""
