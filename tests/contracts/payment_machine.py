"""The Hypothesis machine of the Payment contract: anybody does anything, and bytecode and model stay the same.

The model is the oracle: it says of each command whether it is accepted, and `tests/protocol/payment_machine.py`
holds it to rules of its own. What the contract must always keep is asked of the bytecode alone.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.payment import (
    MAX_UNLOCK_TIME_S,
    ZERO_ADDRESS,
    ChannelKey,
    Claim,
    CloseChannel,
    CreateChannel,
    Deposit,
    Release,
    Unlock,
    Withdraw,
    WithdrawMany,
    WithdrawUnlocked,
    WithdrawUpTo,
)
from protocol.ports import Approve
from protocol.units import Address
from tests.contracts.evm import Reverted
from tests.contracts.world import EVE, PODS, TILL, World

MAX = 2**256 - 1
HUGE = MAX - 1
"""As an approval: many tokens never use one of `MAX` up, and the model's does."""

which = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7])  # mostly the same few channels
amounts = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 0, MAX])
little = st.integers(1, 3)
unlock_times = st.sampled_from([3, 0, 1, 2, MAX_UNLOCK_TIME_S, MAX_UNLOCK_TIME_S + 1, 2**64 + 1])
mostly = st.sampled_from([True, True, True, False])
payees = st.sampled_from(["caller", "caller", "till", "contract"])
stale = st.sampled_from([0, 0, 0, 1, 2**64])
entries = st.lists(st.tuples(which, stale, st.integers(-1, 6), mostly), max_size=4)


def machine_for(token: str, bytecode: bytes | None = None) -> Any:
    """The machine of a Payment contract.

    Args:
        token: the name of the token's contract.
        bytecode: Payment's creation code; None: the published one.
    """

    class Machine(RuleBasedStateMachine):
        steps = 0

        def __init__(self) -> None:
            super().__init__()
            self.world = World(token, bytecode)
            # The first two differ in the publisher only; the rest are all others.
            keys = self.world.keys
            first = [ChannelKey(p, self.world.providers[0], PODS[0]) for p in self.world.publishers[:2]]
            self.keys = first + [key for key in keys if key not in first]
            self.before: dict[ChannelKey, tuple[int, ...]] = {}
            self.last = self.keys[0]

        def key(self, index: int) -> ChannelKey:
            self.last = self.keys[index]
            return self.last

        def payee(self, name: str) -> Address:
            if name == "caller":
                return ZERO_ADDRESS
            return TILL if name == "till" else self.world.payment.address

        def funded(self, index: int) -> ChannelKey:
            """The channel, with something in it if the token lets its publisher pay."""
            key = self.key(index)
            if not self.world.book.available(key):
                if self.world.book.channel(key):
                    self.publisher_deposits(index, 5, True)
                else:
                    self.publisher_creates(index, 5, 3, True)
            return key

        # ------------------------------------------------ rules

        @initialize(invested=st.integers(3, 6), unlock_time=st.integers(0, 3))
        def both_begin_with_a_channel(self, invested: int, unlock_time: int) -> None:
            for index in (0, 1):
                self.publisher_creates(index, invested, unlock_time, True)

        @rule(index=which, amount=amounts)
        def publisher_approves(self, index: int, amount: int) -> None:
            caller = self.key(index).publisher
            if caller != self.world.token.address:
                self.world.send(caller, Approve(self.world.payment.address, min(amount, HUGE)))

        @rule(index=which, amount=amounts, unlock_time=unlock_times, approve=mostly)
        def publisher_creates(self, index: int, amount: int, unlock_time: int, approve: bool) -> None:
            key = self.key(index)
            if approve:
                self.publisher_approves(index, amount)
            self.world.send(key.publisher, CreateChannel(key.provider, key.pod_id, unlock_time, amount))

        @rule(index=which, amount=amounts, approve=mostly)
        def publisher_deposits(self, index: int, amount: int, approve: bool) -> None:
            key = self.key(index)
            if approve:
                self.publisher_approves(index, amount)
            self.world.send(key.publisher, Deposit(key.provider, key.pod_id, amount))

        @rule(index=which)
        def publisher_unlocks(self, index: int) -> None:
            key = self.key(index)
            self.world.send(key.publisher, Unlock(key.provider, key.pod_id))

        @rule(index=which, late=st.sampled_from([None, -1, 0, 0]))
        def publisher_withdraws(self, index: int, late: int | None) -> None:
            key = self.key(index)
            if late is not None:
                self.time_comes_to_an_unlock(index, late)
            self.world.send(key.publisher, WithdrawUnlocked(key.provider, key.pod_id))

        @rule(index=which, late=st.sampled_from([None, -1, 0, 0]))
        def publisher_closes(self, index: int, late: int | None) -> None:
            key = self.key(index)
            if late is not None:
                self.time_comes_to_an_unlock(index, late)
            self.world.send(key.publisher, CloseChannel(key.provider, key.pod_id))

        @rule(index=which, amount=amounts, unlock_time=unlock_times, close=st.booleans())
        def publisher_leaves_and_creates_again(
            self, index: int, amount: int, unlock_time: int, close: bool
        ) -> None:
            self.funded(index)
            self.publisher_unlocks(index)
            (self.publisher_closes if close else self.publisher_withdraws)(index, 0)
            self.publisher_creates(index, amount, unlock_time, True)

        @rule(index=which, amount=amounts, more=st.booleans(), to=payees)
        def provider_withdraws(self, index: int, amount: int, more: bool, to: str) -> None:
            key = self.key(index)
            kind = Withdraw if more else WithdrawUpTo
            self.world.send(key.provider, kind(key.publisher, key.pod_id, amount, self.payee(to)))

        @rule(index=which, less=st.integers(-1, 2), to=payees)
        def provider_settles(self, index: int, less: int, to: str) -> None:
            key = self.key(index)
            total = max(0, self.world.book.withdrawn(key) + self.world.book.available(key) - less)
            self.world.send(key.provider, WithdrawUpTo(key.publisher, key.pod_id, total, self.payee(to)))

        @rule(index=which, listed=entries, to=payees)
        def provider_claims_many(self, index: int, listed: list[tuple[int, int, int, bool]], to: str) -> None:
            caller = self.key(index).provider
            claims = []
            for other, late, more, covered in listed:
                key = self.keys[other]._replace(provider=caller)
                life = max(0, self.world.book.life(key) - late) if late < 2**64 else late + 1
                total = max(0, self.world.book.withdrawn(key) + more) if covered else MAX
                claims.append(Claim(key.publisher, key.pod_id, life, total))
            self.world.send(caller, WithdrawMany(tuple(claims), self.payee(to)))

        @rule(index=which, amount=little, many=st.booleans(), late=st.sampled_from([None, -1, 0, 1, 2]))
        def provider_claims_in_an_unlock(self, index: int, amount: int, many: bool, late: int | None) -> None:
            self.funded(index)
            self.publisher_unlocks(index)
            if late is not None:
                self.time_comes_to_an_unlock(index, late)
            if many:
                self.provider_claims_many(index, [(index, 0, amount, True)], "caller")
            else:
                self.provider_withdraws(index, amount, True, "caller")

        @rule(index=which)
        def provider_releases(self, index: int) -> None:
            key = self.key(index)
            self.world.send(key.provider, Release(key.publisher, key.pod_id))

        @rule(seconds=st.integers(1, 3))
        def time_passes(self, seconds: int) -> None:
            self.world.go_to(self.world.now_s + seconds)

        @rule(index=which, late=st.integers(-1, 1))
        def time_comes_to_an_unlock(self, index: int, late: int) -> None:
            record = self.world.book.record(self.key(index))
            if record is not None and record.unlocked_at_s:
                self.world.go_to(max(self.world.now_s, record.unlocked_at_s + late))

        @rule(amount=little)
        def somebody_sends_tokens_directly(self, amount: int) -> None:
            if self.world.twin.balance(EVE) >= amount and not self.world.armed:
                self.world.send_directly(amount)

        # ------------------------------------------------ what each party can rely on

        @rule(index=which, claim=st.integers(0, 7), how=st.sampled_from(["settle", "many", "release"]))
        def a_publisher_can_leave_within_its_unlock_time(self, index: int, claim: int, how: str) -> None:
            key, world = self.funded(index), self.world
            if not world.book.channel(key) or world.armed or self.is_blocked(key.publisher):
                return
            now_s, before = world.now_s, world.held(key.publisher)
            with world.evm.undone():
                world.execute(key.publisher, Unlock(key.provider, key.pod_id))
                invested, withdrawn, unlock_time_s, leaves_s, life = world.records()[key]
                assert leaves_s <= now_s + unlock_time_s
                rest = invested - withdrawn
                paid = min(claim, rest)
                world.evm.set_time(max(now_s, leaves_s - 1))
                try:  # whatever the provider does meanwhile
                    if how == "release":
                        world.execute(key.provider, Release(key.publisher, key.pod_id))
                        paid = 0
                    elif how == "settle":
                        world.execute(key.provider, WithdrawUpTo(key.publisher, key.pod_id, withdrawn + paid))
                    else:
                        entry = Claim(key.publisher, key.pod_id, life, withdrawn + paid)
                        world.execute(key.provider, WithdrawMany((entry,)))
                except Reverted:
                    paid = 0
                world.evm.set_time(max(now_s, leaves_s))
                if world.records()[key][0]:
                    world.execute(key.publisher, CloseChannel(key.provider, key.pod_id))
                got = world.held(key.publisher) - before
                assert got == rest - paid - min(world.fee, rest - paid)
            world.evm.set_time(now_s)

        @rule(index=which, many=st.booleans(), unlock=st.booleans())
        def a_provider_can_claim_all_until_the_unlock(self, index: int, many: bool, unlock: bool) -> None:
            key, world = self.funded(index), self.world
            if not world.book.available(key) or world.armed or self.is_blocked(key.provider):
                return
            before = world.held(key.provider)
            with world.evm.undone():
                if unlock:
                    world.execute(key.publisher, Unlock(key.provider, key.pod_id))
                invested, withdrawn, _, unlocked_at_s, life = world.records()[key]
                last_s = max(world.now_s, unlocked_at_s - 1) if unlocked_at_s else world.now_s
                world.evm.set_time(last_s)
                if many:
                    world.execute(key.provider, WithdrawMany((Claim(key.publisher, key.pod_id, life, MAX),)))
                else:
                    world.execute(key.provider, WithdrawUpTo(key.publisher, key.pod_id, invested))
                due = invested - withdrawn
                assert world.held(key.provider) - before == due - min(world.fee, due)
            world.evm.set_time(world.now_s)

        @rule(index=which, amount=st.integers(1, 7))
        def nobody_else_moves_anything(self, index: int, amount: int) -> None:
            key, world = self.key(index), self.world
            if world.armed:
                return
            before = [world.held(person) for person in world.people()]
            for stranger in (EVE, key.publisher, key.provider):
                # The publisher may not do what is the provider's, nor the other way round.
                asks: list[Any] = []
                if stranger != key.publisher:
                    asks += [
                        Unlock(key.provider, key.pod_id),
                        WithdrawUnlocked(key.provider, key.pod_id),
                        CloseChannel(key.provider, key.pod_id),
                    ]
                if stranger != key.provider:
                    asks += [
                        WithdrawUpTo(key.publisher, key.pod_id, amount),
                        Withdraw(key.publisher, key.pod_id, amount),
                        Release(key.publisher, key.pod_id),
                    ]
                for ask in asks:
                    assert world.send(stranger, ask) is None
                if stranger != key.provider:
                    life = world.book.life(key)
                    world.send(stranger, WithdrawMany((Claim(key.publisher, key.pod_id, life, amount),)))
            assert [world.held(person) for person in world.people()] == before

        def is_blocked(self, person: Address) -> bool:
            return person in getattr(self.world.twin, "blocked", ())

        # ------------------------------------------------ what always holds

        @invariant()
        def bytecode_and_model_agree(self) -> None:
            type(self).steps += 1
            records = self.world.check()
            self.world.check_views(self.last)
            self.soundness(records)

        def soundness(self, records: dict[ChannelKey, tuple[int, ...]]) -> None:
            promised = sum(invested - withdrawn for invested, withdrawn, *_ in records.values())
            assert self.world.held(self.world.payment.address) == promised + self.world.surplus
            for key, (invested, withdrawn, _, _, life) in records.items():
                assert 0 <= withdrawn <= invested
                was = self.before.get(key)
                if was is not None:
                    assert life >= was[4]
                    if life == was[4] and invested:
                        assert withdrawn >= was[1]
            self.before = records

    if token == "BlocklistToken":

        class BlockingMachine(Machine):
            @rule(index=which, provider=st.booleans(), blocked=st.booleans())
            def the_token_blocks(self, index: int, provider: bool, blocked: bool) -> None:
                key = self.key(index)
                self.world.block(key.provider if provider else key.publisher, blocked)

        return BlockingMachine

    if token == "ReenteringToken":

        class ReenteringMachine(Machine):
            @initialize()
            def the_token_is_a_party(self) -> None:
                own = self.world.token.address
                pia, ann = self.world.providers[0], self.world.publishers[0]
                self.world.send(own, CreateChannel(pia, PODS[0], 3, 4))
                self.world.send(ann, Approve(self.world.payment.address, 4))
                self.world.send(ann, CreateChannel(own, PODS[0], 3, 4))

            @rule(what=st.integers(0, 8), amount=little, index=which, claim=st.booleans())
            def the_token_will_call_back(self, what: int, amount: int, index: int, claim: bool) -> None:
                pia, ann = self.world.providers[0], self.world.publishers[0]
                life = self.world.book.life(ChannelKey(ann, self.world.token.address, PODS[0]))
                self.world.arm(
                    [
                        Deposit(pia, PODS[0], amount),
                        CreateChannel(pia, PODS[1], 3, amount),
                        Unlock(pia, PODS[0]),
                        WithdrawUnlocked(pia, PODS[0]),
                        CloseChannel(pia, PODS[0]),
                        WithdrawUpTo(ann, PODS[0], amount),
                        Withdraw(ann, PODS[0], amount),
                        WithdrawMany((Claim(ann, PODS[0], life, amount),)),
                        Release(ann, PODS[0]),
                    ][what]
                )
                if claim:
                    self.provider_claims_in_an_unlock(index, amount, True, None)
                else:
                    self.publisher_deposits(index, amount, True)

        return ReenteringMachine

    return Machine
