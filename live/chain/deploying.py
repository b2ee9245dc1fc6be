"""New contracts on a chain, and the state of those there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import contracts
from live.chain.events import EventReader, Place
from live.chain.nodes import Nodes
from live.chain.reads import Reader
from live.chain.rpc import CallReverted, Endpoint
from live.chain.sending import Pace, Sending
from live.chain.signed import Ladder, Unsigned
from live.settings import ChainSettings
from protocol import views
from protocol.abi import encode
from protocol.errors import BadInput, PeerFault, PortError
from protocol.identity import format_address, parse_address
from protocol.keccak import keccak256
from protocol.payment import ChannelCreated, ChannelKey
from protocol.ports import ChainTerms, TxReverted, TxUnknown
from protocol.units import NS_PER_S, Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from live.tasks import Process
    from protocol.payment import Channel
    from protocol.ports import Block, Market

GAS_ROOM: Final = (11, 10)
COUNTS: Final = {2: "two", 3: "three"}
NOWHERE: Final = Address(bytes(20))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be deployed.

    Attributes:
        token: the payment token; None: a test token, which anybody can mint.
        test_token_decimals: of the test token.
        confirmations: blocks on top of a block before it counts.
        cap_wei: the most that is paid for a unit of gas [wei].
        deadline_s: for each transaction [s].
        pace: how often things are done.
    """

    token: Address | None
    test_token_decimals: int
    confirmations: int
    cap_wei: int
    deadline_s: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Offer:
    """What the account may send next, and for how much.

    Attributes:
        nonce: its next.
        price_wei: of a unit of gas now [wei].
        max_fee_wei: the most that is offered for one [wei].
        tip_wei: of it, what the block's maker gets at most [wei].
        held_wei: what the account holds [wei].
    """

    nonce: int
    price_wei: int
    max_fee_wei: int
    tip_wei: int
    held_wei: int


@dataclass(frozen=True, slots=True)
class Creation:
    """A contract's creation.

    Attributes:
        contract: its name.
        transaction: hash of what is sent first; a replacement that pays more has another, and the same nonce.
        nonce: of the transaction.
        address: where the contract stands once it is mined.
        stands: it is mined, and counts.
    """

    contract: str
    transaction: bytes
    nonce: int
    address: Address
    stands: bool = False


class Deployer:
    """Deploys the contracts.

    Args:
        process: whose await it is.
        endpoint: the chain.
        account: who pays and is the contracts' creator; nobody owns them.
        plan: what is to be deployed.
    """

    def __init__(self, process: Process, endpoint: Endpoint, account: LocalAccount, plan: Plan) -> None:
        self._process = process
        self._nodes = Nodes(process, [endpoint], confirmations=plan.confirmations)
        self._account = account
        self._owner: Final = parse_address(account.address)
        self._plan = plan
        self._stand: list[Creation] = []

    async def deploy(
        self, url: str, heard: Callable[[Creation], None] = lambda creation: None
    ) -> ChainSettings:
        """Deploy Registry and Payment, and the test token if no token is named.

        Args:
            url: the endpoint's address, for the settings.
            heard: told of each creation before it is sent, and when it counts.

        Raises:
            BadInput: the token is none, gas is too dear, or the account cannot pay for all; nothing was sent.
            PortError: the chain cannot be asked, or a transaction is not known to count; with `sent=False` nothing
                was sent, else it says what stands already and what may still be mined.
        """
        try:
            return await self._deploy(url, heard)
        except PortError as error:
            if not self._stand:
                raise
            standing = ", ".join(f"{one.contract} at {format_address(one.address)}" for one in self._stand)
            raise PortError(
                f"{error}\nthese stand already: {standing}", sent=True, retry_after_s=None
            ) from error

    async def _deploy(self, url: str, heard: Callable[[Creation], None]) -> ChainSettings:
        plan = self._plan
        (chain_id,) = await self._nodes.all(Endpoint.chain_id, until_ns=self._until_ns())
        (head,) = await self._nodes.all(Endpoint.head, until_ns=self._until_ns())
        token, decimals = plan.token, plan.test_token_decimals
        if token is not None:
            decimals = await self._decimals(token, head.block)
        gas = await self._gas_of_all()

        async def create(name: str, arguments: bytes) -> tuple[Address, bytes]:
            try:
                return await self._create(chain_id, name, arguments, gas[name], heard)
            except PortError as error:
                raise PortError(
                    f"creating {name}: {error}", sent=error.sent, retry_after_s=error.retry_after_s
                ) from error

        if token is None:
            token, _ = await create("TestToken", encode("(uint8)", (decimals,)))
        payment, payment_code = await create("Payment", encode("(address)", (token,)))
        registry, registry_code = await create("Registry", b"")
        return ChainSettings(
            endpoints=(url,),
            chain_id=chain_id,
            payment=format_address(payment),
            payment_code=f"0x{keccak256(payment_code).hex()}",
            registry=format_address(registry),
            registry_code=f"0x{keccak256(registry_code).hex()}",
            token=format_address(token),
            token_decimals=decimals,
            deployed_block=head.block.number,
            confirmations=plan.confirmations,
            max_gas_price_wei=plan.cap_wei,
            poll_s=plan.pace.poll_s,
            resend_s=plan.pace.resend_s,
            bump_s=plan.pace.bump_s,
        )

    async def _decimals(self, token: Address, block: Block) -> int:
        try:
            (decimals,) = await self._nodes.call(views.DECIMALS, token, block, until_ns=self._until_ns())
        except (CallReverted, PeerFault) as error:
            raise BadInput(f"no token that tells its decimals stands at {format_address(token)}") from error
        return int(decimals)

    async def _gas_of_all(self) -> dict[str, int]:
        """Gas limit of each contract's creation, once it is known that the account can pay for all of them.

        Raises:
            BadInput: it cannot, gas is too dear, or the chain refuses a contract.
        """
        token = self._plan.token or self._owner  # the constructor only keeps it
        wanted = {"Payment": encode("(address)", (token,)), "Registry": b""}
        if self._plan.token is None:
            wanted = {"TestToken": encode("(uint8)", (self._plan.test_token_decimals,)), **wanted}
        limits = {}
        for name, arguments in wanted.items():
            data = contracts.artifact(name).bytecode + arguments
            try:
                (gas,) = await self._nodes.all(
                    lambda node, data=data: node.estimate(sender=self._owner, to=None, data=data),  # type: ignore[misc]
                    until_ns=self._until_ns(),
                )
            except CallReverted as error:
                raise BadInput(
                    f"the chain refuses to create {name}: it may be older than Cancun; nothing was sent"
                ) from error
            limits[name] = gas * GAS_ROOM[0] // GAS_ROOM[1]
        offer = await self._offer()
        cost_wei = sum(limits.values()) * offer.max_fee_wei
        if (problem := self._too_dear(offer)) is not None:
            raise BadInput(f"{problem}; nothing was sent")
        if offer.held_wei < cost_wei:
            raise BadInput(
                f"{self._account.address} holds {offer.held_wei} wei; creating the {COUNTS[len(limits)]} contracts"
                f" may cost up to {cost_wei} wei; nothing was sent"
            )
        return limits

    async def _offer(self) -> Offer:
        def ask(node: Endpoint) -> tuple[int, int, int, int]:
            head = node.head()
            return (
                node.nonce(self._owner, "pending"),
                head.base_fee_wei,
                node.tip_wei(),
                node.balance(self._owner, head.block),
            )

        ((nonce, base_wei, tip_wei, held_wei),) = await self._nodes.all(ask, until_ns=self._until_ns())
        return Offer(
            nonce, base_wei + tip_wei, min(2 * base_wei + tip_wei, self._plan.cap_wei), tip_wei, held_wei
        )

    def _too_dear(self, offer: Offer) -> str | None:
        if offer.price_wei <= self._plan.cap_wei:
            return None
        return f"gas costs {offer.price_wei} wei; the most that is paid is {self._plan.cap_wei} wei"

    async def _create(
        self, chain_id: int, name: str, arguments: bytes, gas: int, heard: Callable[[Creation], None]
    ) -> tuple[Address, bytes]:
        """Deploy one contract; its address and the code that stands there."""
        compiled = contracts.artifact(name)
        offer, cap_wei = await self._offer(), self._plan.cap_wei
        nonce = offer.nonce
        unsigned = Unsigned(
            chain_id=chain_id,
            nonce=nonce,
            to=None,
            data=compiled.bytecode + arguments,
            gas=gas,
            max_fee_wei=offer.max_fee_wei,
            tip_wei=offer.tip_wei,
        )
        problem = self._too_dear(offer)
        if problem is None and offer.held_wei < unsigned.cost_wei:
            problem = (
                f"{self._account.address} holds {offer.held_wei} wei; it may cost {unsigned.cost_wei} wei"
            )
        if problem is not None:
            raise PortError(problem, sent=False, retry_after_s=None)
        terms = ChainTerms(chain_id, NOWHERE, NOWHERE, NOWHERE, self._plan.confirmations, 0)
        sending = Sending(self._process, self._nodes, terms, self._plan.pace)
        signed = unsigned.sign(self._account)
        ladder = Ladder(signed.raw, self._account, chain_id=chain_id, cap_wei=cap_wei)
        made = Creation(name, signed.hash, nonce, created_address(self._owner, nonce))
        heard(made)
        which = f"transaction 0x{signed.hash.hex()}, nonce {nonce}"
        try:
            outcome = await sending.until_it_counts(ladder, until_ns=self._until_ns())
        except PortError as error:
            raise PortError(
                f"{error}; nothing was sent for it", sent=False, retry_after_s=error.retry_after_s
            ) from error
        if isinstance(outcome, TxUnknown):
            problem = (
                f"{which}: {outcome.reason}; what was sent may still be mined, or a replacement with the same nonce;"
                f" the contract then stands at {format_address(made.address)}"
            )
            raise PortError(problem, sent=True, retry_after_s=None)
        if isinstance(outcome, TxReverted):
            raise PortError(f"{which}, was refused: {outcome.error}", sent=True, retry_after_s=None)
        made = replace(made, stands=True)
        self._stand.append(made)
        heard(made)
        (code,) = await self._nodes.all(lambda node: node.code(made.address), until_ns=self._until_ns())
        if not is_code_of(code, compiled):
            raise PortError(
                f"{format_address(made.address)} does not hold the code of {name}",
                sent=True,
                retry_after_s=None,
            )
        return made.address, code

    def _until_ns(self) -> int:
        return self._process.now_ns() + self._plan.deadline_s * NS_PER_S


def created_address(sender: Address, nonce: int) -> Address:
    """Where the contract stands that `sender` creates with `nonce`: keccak256 of both in RLP, its last 20 bytes."""
    count = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if not (len(count) == 1 and count[0] < 0x80):
        count = bytes([0x80 + len(count)]) + count
    body = bytes([0x80 + 20]) + sender + count
    return Address(keccak256(bytes([0xC0 + len(body)]) + body)[12:])


def is_code_of(code: bytes, compiled: contracts.Artifact) -> bool:
    """Whether `code` is the artifact's, whatever its constructor filled in."""
    masked = bytearray(code)
    for start, length in compiled.immutables:
        masked[start : start + length] = bytes(length)
    return bytes(masked) == compiled.runtime_bytecode


@dataclass(frozen=True, slots=True)
class State:
    """A deployment's state at one block that counts.

    Attributes:
        block: the block.
        symbol: the token's, for people; empty when it has none.
        held: what the Payment contract holds of the token [base units].
        owed: what its channels say that it holds [base units].
        channels: every channel that exists.
        market: what the registry lists.
        ours: whether the code is what this release was compiled to, by contract.
    """

    block: Block
    symbol: str
    held: int
    owed: int
    channels: dict[ChannelKey, Channel]
    market: Market
    ours: dict[str, bool]


async def state(
    process: Process, endpoints: list[Endpoint], settings: ChainSettings, *, until_ns: int
) -> State:
    """Read a deployment's state: its channels are found by its events.

    Raises:
        PortError: an endpoint failed, was late, or they differ.
        PeerFault: a contract answers nonsense.
    """
    terms = settings.terms
    nodes = Nodes(process, endpoints, confirmations=terms.confirmations)
    reader, events = Reader(nodes, terms), EventReader(nodes, [terms.payment])
    keys: dict[ChannelKey, None] = {}
    place = Place(settings.deployed_block)
    while True:
        page = await events.read(place, until_ns=until_ns)
        place = page.place
        keys.update(dict.fromkeys(e.event.key for e in page.events if isinstance(e.event, ChannelCreated)))
        if page.at_end:
            break
    market = await reader.market(until_ns=until_ns)
    block = market.block
    found = await reader.channels_at(block, list(keys), until_ns=until_ns)
    channels = {key: channel for key, channel in found.items() if channel is not None and channel.exists}
    (held,) = await nodes.call(views.BALANCE_OF, terms.token, block, terms.payment, until_ns=until_ns)
    try:
        (symbol,) = await nodes.call(views.SYMBOL, terms.token, block, until_ns=until_ns)
    except (CallReverted, PeerFault):
        symbol = ""
    ours = {
        name: is_code_of(
            (await nodes.all(lambda node, at=at: node.code(at), until_ns=until_ns))[0],  # type: ignore[misc]
            contracts.artifact(name),
        )
        for name, at in (("Payment", terms.payment), ("Registry", terms.registry))
    }
    owed = sum(channel.available for channel in channels.values())
    return State(block, symbol, held, owed, channels, market, ours)
