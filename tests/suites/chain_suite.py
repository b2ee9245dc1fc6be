"""What `Chain` promises: one nonce one effect, reads at one block that counts, and not knowing said so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import pytest

from protocol.errors import PortError
from protocol.payment import (
    ChannelCreated,
    ChannelKey,
    CreateChannel,
    Deposit,
    Deposited,
    Release,
    Unlock,
    Withdrawn,
    WithdrawUpTo,
)
from protocol.ports import (
    Approve,
    Chain,
    ChannelsAt,
    Command,
    Funds,
    Market,
    Transaction,
    TxConfirmed,
    TxOutcome,
    TxReverted,
    TxUnknown,
    Unknown,
)
from protocol.pricing import PriceTable
from protocol.registry import NewPricingTable, RegisterPricingTable, RegisterProvider
from protocol.units import Address, Cid, PodId
from tests.suites.bench import Bench, after, pause

POD, POD_2 = PodId(b"\x11" * 32), PodId(b"\x22" * 32)


class ChainBench(Bench, Protocol):
    """Two parties with gas; the publisher has 1,000,000 tokens.

    Attributes:
        publisher, provider: their addresses.
        mine, theirs: the publisher's and the provider's chain.
        a_while: units within which a transaction is mined and confirmed.
    """

    @property
    def publisher(self) -> Address: ...

    @property
    def provider(self) -> Address: ...

    @property
    def mine(self) -> Chain: ...

    @property
    def theirs(self) -> Chain: ...

    @property
    def a_while(self) -> float: ...

    def silence(self, units: float) -> None:
        """The publisher's endpoint answers nothing for so long from now."""
        ...

    def restart(self) -> Chain:
        """The publisher's chain for a new process."""
        ...

    def supports_reorganisation(self) -> bool:
        """Whether `reorganise` can be shown."""
        ...

    def reorganise(self) -> None:
        """The next block replaces all blocks that nobody believes yet; what they held may be lost to the pool."""
        ...

    def supports_dear_gas(self) -> bool:
        """Whether `make_gas_dear` can be shown."""
        ...

    def make_gas_dear(self) -> None:
        """From now on gas costs more than what was offered for it so far, and no more than three times as much."""
        ...

    def lie(self, *, endpoints: int) -> None:
        """One of the publisher's endpoints says from now on that there are no channels.

        Args:
            endpoints: how many it has, the one that lies included.
        """
        ...


class ChainSuite:
    """Every adapter of `Chain`."""

    def send(self, bench: ChainBench, chain: Chain, *commands: Command) -> list[TxOutcome]:
        async def story() -> list[TxOutcome]:
            outcomes = []
            for command in commands:
                transaction = await chain.prepare(command)
                assert isinstance(transaction, Transaction)
                outcomes.append(await chain.send(transaction, deadline_ns=after(bench, 3 * bench.a_while)))
            return outcomes

        return bench.run(story())

    def open(self, bench: ChainBench, amount: int = 1000, pod: PodId = POD) -> TxConfirmed:
        payment = bench.mine.terms.payment
        _, created = self.send(
            bench, bench.mine, Approve(payment, amount), CreateChannel(bench.provider, pod, 3600, amount)
        )
        assert isinstance(created, TxConfirmed)
        return created

    def channels(self, bench: ChainBench, *pods: PodId) -> ChannelsAt:
        keys = [ChannelKey(bench.publisher, bench.provider, pod) for pod in pods]
        seen = bench.run(bench.theirs.channels(keys, deadline_ns=after(bench, bench.a_while)))
        assert isinstance(seen, ChannelsAt)
        return seen

    def test_what_is_confirmed_is_read_by_everybody(self, bench: ChainBench) -> None:
        created = self.open(bench)
        key = ChannelKey(bench.publisher, bench.provider, POD)
        assert ChannelCreated(key) in created.events and Deposited(key, 1000) in created.events
        assert created.fee_wei > 0
        seen = self.channels(bench, POD, POD_2)
        channel = seen.channels[key]
        assert channel is not None
        assert (channel.invested_by_publisher, channel.unlock_time_s, channel.life) == (1000, 3600, 1)
        assert seen.channels[ChannelKey(bench.publisher, bench.provider, POD_2)] is None
        assert seen.block.number >= created.block.number and len(seen.block.hash) == 32

    def test_what_is_not_deep_enough_is_not_read(self, bench: ChainBench) -> None:
        async def story() -> tuple[object, int]:
            payment = bench.mine.terms.payment
            for command in (Approve(payment, 5), CreateChannel(bench.provider, POD, 60, 5)):
                transaction = await bench.mine.prepare(command)
                assert isinstance(transaction, Transaction)
                bench.tasks.start("send", self._forget(bench, transaction))
            key = ChannelKey(bench.publisher, bench.provider, POD)
            reads = 0
            while True:
                seen = await bench.theirs.channels([key], deadline_ns=after(bench, bench.a_while))
                assert isinstance(seen, ChannelsAt)
                reads += 1
                if seen.channels[key] is not None:
                    return seen.block.number, reads
                await pause(bench, bench.a_while / 20)

        number, reads = bench.run(story())
        assert reads > 1 and number

    async def _forget(self, bench: ChainBench, transaction: Transaction) -> None:
        await bench.mine.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))

    def test_the_same_transaction_twice_counts_once(self, bench: ChainBench) -> None:
        self.open(bench)

        async def story() -> list[TxOutcome]:
            transaction = await bench.theirs.prepare(WithdrawUpTo(bench.publisher, POD, 300))
            assert isinstance(transaction, Transaction)
            journalled = Transaction.from_record(transaction.to_record())
            assert journalled == transaction
            return [
                await bench.theirs.send(t, deadline_ns=after(bench, 3 * bench.a_while))
                for t in (transaction, journalled)
            ]

        first, second = bench.run(story())
        assert isinstance(first, TxConfirmed) and first == second
        assert Withdrawn(ChannelKey(bench.publisher, bench.provider, POD), 300) in first.events
        funds = bench.run(bench.mine.funds(bench.provider, deadline_ns=after(bench, bench.a_while)))
        assert isinstance(funds, Funds) and funds.token == 300

    def test_a_refusal_has_the_contracts_name_and_changes_nothing(self, bench: ChainBench) -> None:
        self.open(bench)
        again, gone = self.send(
            bench,
            bench.mine,
            CreateChannel(bench.provider, POD, 60, 1),
            Unlock(bench.provider, POD_2),
        )
        assert isinstance(again, TxReverted) and again.error == "AlreadyExists"
        assert isinstance(gone, TxReverted) and gone.error == "DoesNotExist"
        (too_much,) = self.send(bench, bench.theirs, WithdrawUpTo(bench.publisher, POD, 1001))
        assert isinstance(too_much, TxReverted) and too_much.error == "InsufficientFunds"
        channel = self.channels(bench, POD).channels[ChannelKey(bench.publisher, bench.provider, POD)]
        assert channel is not None and channel.withdrawn_by_provider == 0

    def test_prepared_transactions_have_nonces_without_gaps(self, bench: ChainBench) -> None:
        async def story() -> list[int]:
            prepared = [await bench.mine.prepare(Approve(bench.mine.terms.payment, n)) for n in range(3)]
            found = []
            for transaction in prepared:
                assert isinstance(transaction, Transaction)
                outcome = await bench.mine.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))
                assert isinstance(outcome, TxConfirmed)
                found.append(transaction.nonce)
            return found

        nonces = bench.run(story())
        assert nonces == list(range(nonces[0], nonces[0] + 3))

    def test_a_new_process_goes_on_after_what_was_sent(self, bench: ChainBench) -> None:
        self.open(bench)
        later = bench.restart()

        async def story() -> TxOutcome:
            transaction = await later.prepare(Unlock(bench.provider, POD))
            assert isinstance(transaction, Transaction)
            return await later.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))

        assert isinstance(bench.run(story()), TxConfirmed)

    def test_a_deadline_before_the_confirmation_is_not_knowing(self, bench: ChainBench) -> None:
        async def story() -> tuple[TxOutcome, TxOutcome]:
            transaction = await bench.mine.prepare(Approve(bench.mine.terms.payment, 7))
            assert isinstance(transaction, Transaction)
            early = await bench.mine.send(transaction, deadline_ns=after(bench, bench.a_while / 100))
            return early, await bench.mine.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))

        early, late = bench.run(story())
        assert isinstance(early, TxUnknown) and early.reason
        assert isinstance(late, TxConfirmed)

    def test_a_silent_endpoint_knows_nothing_and_sends_nothing(self, bench: ChainBench) -> None:
        prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 7)))
        assert isinstance(prepared, Transaction)
        bench.silence(4 * bench.a_while)
        key = ChannelKey(bench.publisher, bench.provider, POD)
        reads: list[Any] = [
            bench.run(bench.mine.channels([key], deadline_ns=after(bench, bench.a_while / 10))),
            bench.run(bench.mine.market(deadline_ns=after(bench, bench.a_while / 10))),
            bench.run(bench.mine.funds(bench.publisher, deadline_ns=after(bench, bench.a_while / 10))),
        ]
        assert all(isinstance(read, Unknown) and read.reason for read in reads)
        with pytest.raises(PortError) as raised:
            bench.run(bench.mine.send(prepared, deadline_ns=after(bench, bench.a_while / 10)))
        assert not raised.value.sent and raised.value.retry_after_s is not None
        bench.run(pause(bench, 4 * bench.a_while))
        outcome = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 3 * bench.a_while)))
        assert isinstance(outcome, TxConfirmed)

    def test_the_registry_is_read(self, bench: ChainBench) -> None:
        table = PriceTable(
            token=bench.theirs.terms.token, cpu=5, ram=4, storage=3, egress=2, ingress=1, gpu=None, ip=None
        )
        listed, priced = self.send(
            bench, bench.theirs, RegisterProvider(Cid("bafkreitest")), RegisterPricingTable.of(table)
        )
        assert isinstance(listed, TxConfirmed) and isinstance(priced, TxConfirmed)
        (table_id,) = [event.id for event in priced.events if isinstance(event, NewPricingTable)]
        market = bench.run(bench.mine.market(deadline_ns=after(bench, bench.a_while)))
        assert isinstance(market, Market)
        (listing,) = [x for x in market.listings if x.provider == bench.provider]
        assert (listing.record, listing.tables) == ("bafkreitest", (table_id,))
        assert replace(market.tables[table_id]) == table

    def test_a_channel_made_again_has_another_life(self, bench: ChainBench) -> None:
        self.open(bench)
        (released,) = self.send(bench, bench.theirs, Release(bench.publisher, POD))
        assert isinstance(released, TxConfirmed)
        key = ChannelKey(bench.publisher, bench.provider, POD)
        assert self.channels(bench, POD).channels[key] is None
        self.open(bench, 10)
        channel = self.channels(bench, POD).channels[key]
        assert channel is not None and (channel.life, channel.invested_by_publisher) == (2, 10)

    def test_what_is_asked_for_again_is_told_as_it_is_now(self, bench: ChainBench) -> None:
        """The same keys, in the same tuple, as a provider asks at each tick."""
        self.open(bench)
        keys = (ChannelKey(bench.publisher, bench.provider, POD),)
        told = []
        for _ in range(2):
            for _ in range(2):
                seen = bench.run(bench.theirs.channels(keys, deadline_ns=after(bench, bench.a_while)))
                assert isinstance(seen, ChannelsAt)
                (channel,) = seen.channels.values()
                told.append(channel and channel.invested_by_publisher)
            self.send(
                bench, bench.mine, Approve(bench.mine.terms.payment, 70), Deposit(bench.provider, POD, 70)
            )
        assert told == [1000, 1000, 1070, 1070]

    def test_a_claim_costs_more_with_more_entries(self, bench: ChainBench) -> None:
        fees = [
            bench.run(bench.theirs.claim_fee_wei(n, deadline_ns=after(bench, bench.a_while)))
            for n in (1, 2, 10)
        ]
        whole = [fee for fee in fees if isinstance(fee, int)]
        assert len(whole) == 3 and 0 < whole[0] < whole[1] < whole[2]

    # ------------------------------------------------------------ a chain that is not kind

    def test_what_is_undone_before_it_counts_was_never_said_to_count(self, bench: ChainBench) -> None:
        """The outcome comes once, of the block in which it stayed; money moved once."""
        if not bench.supports_reorganisation():
            pytest.skip("the backend cannot be made to reorganise")
        self.open(bench)

        async def story() -> tuple[TxOutcome, TxOutcome]:
            transaction = await bench.theirs.prepare(WithdrawUpTo(bench.publisher, POD, 300))
            assert isinstance(transaction, Transaction)
            bench.reorganise()
            outcome = await bench.theirs.send(transaction, deadline_ns=after(bench, 20 * bench.a_while))
            return outcome, await bench.theirs.send(transaction, deadline_ns=after(bench, 3 * bench.a_while))

        outcome, again = bench.run(story())
        assert isinstance(outcome, TxConfirmed) and outcome == again
        seen = self.channels(bench, POD)
        channel = seen.channels[ChannelKey(bench.publisher, bench.provider, POD)]
        assert channel is not None and channel.withdrawn_by_provider == 300
        assert seen.block.number >= outcome.block.number
        funds = bench.run(bench.mine.funds(bench.provider, deadline_ns=after(bench, bench.a_while)))
        assert isinstance(funds, Funds) and funds.token == 300

    def test_a_block_that_counts_keeps_its_hash(self, bench: ChainBench) -> None:
        if not bench.supports_reorganisation():
            pytest.skip("the backend cannot be made to reorganise")

        async def story() -> dict[int, set[bytes]]:
            bench.reorganise()
            hashes: dict[int, set[bytes]] = {}
            for _ in range(60):
                seen = await bench.mine.channels([], deadline_ns=after(bench, bench.a_while))
                assert isinstance(seen, ChannelsAt)
                hashes.setdefault(seen.block.number, set()).add(seen.block.hash)
                await pause(bench, bench.a_while / 20)
            return hashes

        hashes = bench.run(story())
        assert len(hashes) > 5 and all(len(found) == 1 for found in hashes.values())

    def test_a_transaction_that_became_too_cheap_is_bid_up_and_counts_once(self, bench: ChainBench) -> None:
        if not bench.supports_dear_gas():
            pytest.skip("the backend cannot be made to ask for more")
        prepared = bench.run(bench.mine.prepare(Approve(bench.mine.terms.payment, 7)))
        assert isinstance(prepared, Transaction)
        bench.make_gas_dear()
        early = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 2.2 * bench.a_while)))
        assert isinstance(early, TxUnknown)
        outcome = bench.run(bench.mine.send(prepared, deadline_ns=after(bench, 20 * bench.a_while)))
        assert isinstance(outcome, TxConfirmed)
        # Another process, which knows only what was journalled, finds the one that was mined.
        later = bench.restart()
        again = bench.run(later.send(prepared, deadline_ns=after(bench, 3 * bench.a_while)))
        assert again == outcome
        following = bench.run(later.prepare(Approve(bench.mine.terms.payment, 8)))
        assert isinstance(following, Transaction) and following.nonce == prepared.nonce + 1

    def test_of_two_endpoints_one_that_lies_makes_the_answer_unknown(self, bench: ChainBench) -> None:
        self.open(bench)
        bench.lie(endpoints=2)
        key = ChannelKey(bench.publisher, bench.provider, POD)
        seen = bench.run(bench.mine.channels([key], deadline_ns=after(bench, bench.a_while)))
        assert isinstance(seen, Unknown) and seen.reason.startswith("endpoints differ")

    def test_a_single_endpoint_that_lies_is_believed(self, bench: ChainBench) -> None:
        """No promise of the port: what it costs not to have a second one."""
        self.open(bench)
        bench.lie(endpoints=1)
        key = ChannelKey(bench.publisher, bench.provider, POD)
        seen = bench.run(bench.mine.channels([key], deadline_ns=after(bench, bench.a_while)))
        assert isinstance(seen, ChannelsAt) and seen.channels[key] is None
