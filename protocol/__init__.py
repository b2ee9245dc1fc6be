"""The protocol core: the rules of the market, the two clients, and the ports they ask the world through.

What belongs here: data and pure functions (rules), the Publisher and Provider Clients (plain
coroutines), the policies a party may choose, and the invariants that must always hold.

What does not: a clock, a network, a file, randomness, logging, threads, or a third-party client.
The only packages imported are protobuf, cryptography, coincurve and a keccak. `sim` and `live`
bring the world in through `protocol.ports`; this package imports neither.

    the world      ports, errors, events
    values         units, quantities, identity, keccak
    rules          manifest, pricing, metering, scaling; agreement; payment, token, registry; invariants
    the contracts  abi, codec (commands, logs and refusals as bytes), views (what they tell when asked), gas
    what travels   wire; auth, eip712, signing; requests, sealing, attestation, record
    publisher      publisher (steps 0 to 7), candidates (whom it may choose), guard (after them), renting (what it keeps);
                   calls, bundling, paying, bills (what it is billed)
    provider       provider (steps 3 and 5), caretaker (6, 7, 14), billing (12), meters (12), claiming (13), hosting
                   (what it keeps); storefront (how it is found), desk (how it answers)
    either party   sender (its transactions), turns (of its tasks), written (what its records share), policies (what it
                   decides as it likes)
"""
