"""The contracts as bytecode: `EvmContracts` carries out every command in pyrevm. Needs the extra `evm`.

The state is ours, slot by slot, and pyrevm holds one transaction: a fresh EVM gets the contracts' code and the slots
that the transaction touches, runs it, and what those slots hold then goes back. So everything is cold and original at
a transaction's start, as on a chain, and gas is exact; and a reorganisation is an undo of slots.

- `machine`: pyrevm, the one module that knows it;
- `storage`: what the contracts' slots hold, have held in recent blocks, and the way back;
- `layout`: which slots belong to what, from the compiler's own account;
- `registry`: the Registry's slots as the core's value;
- `book`: the Payment contract's slots, for observers;
- `contracts`: the backend;
- `installed`: whether it can be used here.

What belongs here: what the bytecode needs to run. What does not: a rule of the contracts, blocks, fees.
"""
