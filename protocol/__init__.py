"""The protocol core: the rules of the market, the two clients, and the ports they ask the world through.

What belongs here: data and pure functions (rules), the Publisher and Provider Clients (plain
coroutines), the policies a party may choose, and the invariants that must always hold.

What does not: a clock, a network, a file, randomness, logging, threads, or a third-party client.
The only packages imported are protobuf, cryptography, coincurve and a keccak. `sim` and `live`
bring the world in through `protocol.ports`; this package imports neither.
"""
