"""What anybody may send to the contracts, at random and as one long story, and chains that carry it out alike.

A judge goes first: a chain that says in which block a transaction came. The others then carry it out in a block of
the same number and time, and have to agree on gas, error, events, and afterwards on all that is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from hypothesis import strategies as st

from protocol import payment, registry
from protocol.payment import (
    MAX_UINT,
    ZERO_ADDRESS,
    Channel,
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
from protocol.ports import Approve, Block, ChainTerms
from protocol.registry import Registry
from protocol.units import Address, Cid, PodId
from sim.chain.contracts import Contracts, Executed
from sim.chain.transactions import AnyCommand

PODS: Final = (PodId(b"\x01" * 32), PodId(bytes(31) + b"\xf2"))
TILL: Final = Address(b"\xcc" * 20)
"""Where a provider may want its tokens."""
PURSE: Final = 200
"""What each publisher holds at first."""
YEAR_S: Final = payment.MAX_UNLOCK_TIME_S


class Action(NamedTuple):
    """Somebody sends something, a while after what was before."""

    sender: Address
    command: AnyCommand
    wait_s: int = 1


@dataclass(frozen=True)
class People:
    """Who there is: anybody may send anything."""

    publishers: tuple[Address, Address]
    providers: tuple[Address, Address]

    @property
    def all(self) -> tuple[Address, ...]:
        return *self.publishers, *self.providers

    @property
    def keys(self) -> list[ChannelKey]:
        return [ChannelKey(a, b, pod) for a in self.publishers for b in self.providers for pod in PODS]


class Judge(Protocol):
    """A chain with the contracts on it, on which each of `People.publishers` holds `PURSE`."""

    @property
    def terms(self) -> ChainTerms: ...

    @property
    def people(self) -> People: ...

    def send(self, action: Action, gas_limit: int) -> tuple[Block, Executed]: ...

    def channels(self, keys: Sequence[ChannelKey]) -> dict[ChannelKey, Channel | None]: ...

    def balance(self, owner: Address) -> int: ...

    def allowance(self, owner: Address, spender: Address) -> int: ...

    def registry(self) -> Registry: ...


# ------------------------------------------------------------ at random


def actions(people: People, terms: ChainTerms) -> st.SearchStrategy[list[Action]]:
    """Lists of what people send: what is allowed, what is not, and what is pointless."""
    providers, publishers = st.sampled_from(people.providers), st.sampled_from(people.publishers)
    pods, amounts = st.sampled_from(PODS), st.integers(0, 60)
    large = st.one_of(amounts, st.sampled_from([PURSE, PURSE + 1, MAX_UINT]))
    to = st.sampled_from([ZERO_ADDRESS, ZERO_ADDRESS, TILL, terms.payment, *people.publishers])
    claims = st.builds(Claim, publishers, pods, st.integers(0, 3), st.one_of(amounts, large))
    texts = st.sampled_from(["", "x", "bafy" + "k" * 27, "bafy" + "k" * 28, "bafkreigh" * 8])
    cids = texts.map(Cid)
    tables = st.integers(0, 4)
    prices = st.tuples(*(st.sampled_from([0, 1, MAX_UINT]) for _ in range(5)))

    def sent(
        senders: st.SearchStrategy[Address], *commands: st.SearchStrategy[Any]
    ) -> st.SearchStrategy[Action]:
        return st.builds(Action, senders, st.one_of(*commands), st.sampled_from([1, 1, 1, 2, 5, 13]))

    paying = sent(
        publishers,
        st.builds(Approve, st.just(terms.payment), large),
        st.builds(Approve, st.just(terms.payment), st.integers(40, 120)),
        st.builds(CreateChannel, providers, pods, st.sampled_from([0, 5, 20, YEAR_S, YEAR_S + 1]), amounts),
        st.builds(CreateChannel, providers, pods, st.sampled_from([0, 5]), st.integers(1, 40)),
        st.builds(Deposit, providers, pods, large),
        st.builds(Unlock, providers, pods),
        st.builds(WithdrawUnlocked, providers, pods),
        st.builds(CloseChannel, providers, pods),
    )
    earning = sent(
        providers,
        st.builds(WithdrawUpTo, publishers, pods, large, to),
        st.builds(Withdraw, publishers, pods, large, to),
        st.builds(WithdrawMany, st.lists(claims, max_size=5).map(tuple), to),
        st.builds(WithdrawMany, st.lists(claims, min_size=2, max_size=5).map(tuple), to),
        st.builds(Release, publishers, pods),
    )
    listing = sent(
        providers,
        st.builds(registry.RegisterProvider, cids),
        st.just(registry.DeregisterProvider()),
        st.builds(registry.RegisterPricingTable, st.just(terms.token), prices, texts, texts),
        st.builds(registry.Subscribe, tables),
        st.builds(registry.Unsubscribe, tables),
    )
    odd = sent(
        st.sampled_from(people.all),
        st.builds(Approve, st.sampled_from([TILL, ZERO_ADDRESS, terms.payment]), large),
        st.builds(Release, publishers, pods),
        st.builds(CreateChannel, st.sampled_from(people.all), pods, st.just(3), amounts),
        st.builds(registry.Subscribe, tables),
    )
    begun = st.builds(
        lambda a, b, pod, amount: [
            Action(a, Approve(terms.payment, PURSE)),
            Action(a, CreateChannel(b, pod, 5, amount)),
        ],
        publishers, providers, pods, st.integers(1, 60),
    )  # fmt: skip
    anything = st.lists(st.one_of(paying, paying, earning, earning, listing, odd), min_size=1, max_size=20)
    return st.builds(lambda first, rest: [*first, *rest], begun, anything)


# ------------------------------------------------------------ as one story


def story(people: People, terms: ChainTerms) -> Iterator[Action]:
    """Every command, accepted and refused, every event and every refusal of the contracts."""
    (ann, ben), (pia, pat), pod, other = people.publishers, people.providers, *PODS
    for sender, command, *wait in (
        (pia, registry.RegisterProvider(Cid(""))),
        (pia, registry.RegisterProvider(Cid("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"))),
        (pat, registry.RegisterProvider(Cid("short"))),
        (pia, registry.RegisterProvider(Cid("shorter than before"))),
        (pia, registry.RegisterPricingTable(terms.token, (1, 2, 3, 4, 5), "AMD EPYC 7763", "")),
        (pat, registry.RegisterPricingTable(terms.token, (0, 0, 0, 0, MAX_UINT), "x" * 70, "sev-snp")),
        (pat, registry.Subscribe(1)),
        (pat, registry.Subscribe(1)),
        (pat, registry.Subscribe(9)),
        (ann, registry.Subscribe(2)),
        (pia, registry.Unsubscribe(2)),
        (pia, registry.Unsubscribe(1)),
        (pia, registry.DeregisterProvider()),
        (pia, registry.DeregisterProvider()),
        (ann, CreateChannel(pia, pod, 10, 50)),
        (ann, Approve(terms.payment, 120)),
        (ann, CreateChannel(pia, pod, 10, 0)),
        (ann, CreateChannel(pia, pod, YEAR_S + 1, 50)),
        (ann, CreateChannel(pia, pod, 10, 50)),
        (ann, CreateChannel(pia, pod, 10, 50)),
        (ann, Deposit(pia, pod, 10)),
        (ann, Deposit(pat, pod, 10)),
        (ann, Deposit(pia, pod, 0)),
        (ben, Approve(terms.payment, MAX_UINT)),
        (ben, CreateChannel(pia, other, 0, 30)),
        (ben, Deposit(pia, other, PURSE)),
        (pia, WithdrawMany((Claim(ann, pod, 1, 5), Claim(ben, other, 1, 99), Claim(ann, other, 1, 1)))),
        (pia, WithdrawMany((Claim(ann, pod, 2, 9), Claim(ann, pod, 1, 9), Claim(ann, pod, 1, 9)), TILL)),
        (pia, WithdrawMany(())),
        (pia, Withdraw(ann, pod, 3)),
        (pia, Withdraw(ann, pod, 0)),
        (pia, Withdraw(ann, pod, 61)),
        (pia, WithdrawUpTo(ann, pod, 20, terms.payment)),
        (pia, WithdrawUpTo(ann, pod, 20)),
        (pia, WithdrawUpTo(ann, pod, 100)),
        (ann, WithdrawUnlocked(pia, pod)),
        (ann, Unlock(pat, pod)),
        (ann, Unlock(pia, pod)),
        (ann, Unlock(pia, pod)),
        (pia, WithdrawUpTo(ann, pod, 25)),
        (ann, Deposit(pia, pod, 1)),
        (ann, Unlock(pia, pod)),
        (ann, WithdrawUnlocked(pia, pod)),
        (ann, WithdrawUnlocked(pia, pod), 20),
        (ann, WithdrawUnlocked(pia, pod)),
        (ann, CloseChannel(pia, pod)),
        (ann, CloseChannel(pia, pod)),
        (ann, CreateChannel(pia, pod, 0, 30)),
        (pia, WithdrawMany((Claim(ann, pod, 1, 9),))),
        (ann, Unlock(pia, pod)),
        (ann, WithdrawUnlocked(pia, pod)),
        (ann, CreateChannel(pia, pod, 0, 5)),
        (pia, Release(ben, pod)),
        (pia, Release(ann, pod)),
        (pia, Release(ben, other)),
    ):  # fmt: skip
        yield Action(sender, command, *wait)


# ------------------------------------------------------------ side by side


Make = Callable[[dict[Address, int], ChainTerms], Contracts]
"""A backend at genesis."""


class SideBySide:
    """A judge, and backends that have to be like it.

    Args:
        judge: who goes first.
        backends: by name.
        exact: those whose gas has to be the judge's.
        gas_limit: of a command.
    """

    def __init__(
        self,
        judge: Judge,
        backends: dict[str, Make],
        exact: Iterable[str],
        gas_limit: Callable[[AnyCommand], int],
    ) -> None:
        self.judge = judge
        tokens = dict.fromkeys(judge.people.publishers, PURSE)
        self.backends = {name: make(tokens, judge.terms) for name, make in backends.items()}
        self.seen: list[Executed] = []
        self._exact = set(exact)
        self._gas_limit = gas_limit

    def play(self, actions: Iterable[Action]) -> None:
        """Let all of it happen everywhere."""
        number = 0
        for action in actions:
            block, due = self.judge.send(action, self._gas_limit(action.command))
            number = block.number
            self.seen.append(due)
            for name, backend in self.backends.items():
                done = backend.execute(action.command, action.sender, block)
                what = f"{name}: {action} at {block.time_s}"
                assert (done.error, done.events) == (due.error, due.events), what
                assert name not in self._exact or done.gas_used == due.gas_used, what
        for name, backend in self.backends.items():
            self._check(name, backend, number)

    def _check(self, name: str, backend: Contracts, number: int) -> None:
        judge, people, terms = self.judge, self.judge.people, self.judge.terms
        assert backend.channels(people.keys, number) == judge.channels(people.keys), name
        for owner in (*people.all, TILL, terms.payment):
            held = judge.balance(owner)
            assert backend.balance(owner, number) == backend.book.token.balance(owner) == held, name
        for owner in people.all:
            for spender in (terms.payment, TILL):
                allowed = judge.allowance(owner, spender)
                assert backend.book.token.allowance(owner, spender) == allowed, (name, owner, spender)
        assert backend.registry(number) == judge.registry(), name
