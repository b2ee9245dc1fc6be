"""The `Chain` port over JSON-RPC.

- `rpc`: one endpoint, blocking; the one module that knows web3, and where its errors end;
- `nodes`: the endpoints of a party, asked in worker threads and compared;
- `reads`: channels, market and funds at one block that counts;
- `signed`: transactions, their bytes, and the fee bumps that follow from the bytes;
- `gas`: what commands cost;
- `sending`: sent again and again until the outcome counts;
- `port`: all of it as the port;
- `pinned`: what is checked about the chain before anything is sent;
- `events`: what the contracts emitted, in ranges, with resumption after a reorg;
- `deploying`: new contracts, and the state of those there are.
"""
