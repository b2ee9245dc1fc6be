"""The Publisher Client: steps 0 to 7 of the seed, read from top to bottom.

A pod is rented by `rent`: the manifest is collected, providers are listed, one is selected and its keys
attested, the channel is created, the bundle is sealed and sent, and the provider's confirmation awaited.
Each stage is stored before what it announces is done; `resume` goes on from there after a crash, with
the same pod id and without a second deposit. How a provider is called is in `calls`, what is sent to it
in `bundling`, how it is paid in `paying`; what comes after step 7 is in `guard`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from protocol import agreement, attestation, manifest, wire
from protocol.auth import Offer, ProviderKeys
from protocol.bills import Bills, most_held
from protocol.bundling import Bundler
from protocol.calls import LIFETIME_S, Caller
from protocol.candidates import candidates
from protocol.eip712 import Domain
from protocol.errors import PeerFault, Refusal
from protocol.events import Event, Happened
from protocol.guard import Guard
from protocol.paying import Payer, purse_of
from protocol.payment import CreateChannel
from protocol.policies.asking import AN_AMOUNT, ask, is_amount, is_some_of
from protocol.policies.selection import Candidate, Choice, Load
from protocol.ports import NoAnswer, Unknown
from protocol.renting import (
    BUDGET_SPENT,
    TABLE,
    TOO_DEAR,
    Failed,
    PublisherPolicies,
    PublisherSettings,
    Rental,
    Stage,
)
from protocol.requests import CLOCK_SKEW_S, payment_channel
from protocol.sender import pause
from protocol.units import NEVER_NS, NS_PER_S, Address, PodId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protocol.guard import Wanted
    from protocol.manifest import Pod
    from protocol.policies import Chance
    from protocol.policies.funding import Purse
    from protocol.ports import Mailbox, Market, Verifier, World
    from protocol.sealing import Sealer
    from protocol.signing import Scheme

MAX_RECORD_BYTES: Final = 64 * 1024
TRIES_OF_A_READ: Final = 60


class PublisherClient:
    """One publisher.

    Args:
        world: its ports.
        verifier: checks providers' evidence.
        settings, policies: as the person chose.
        scheme, sealer: how signatures and seals are made.
        chance_of: its stream for a kind of decision, such as `selection`.
    """

    def __init__(
        self,
        world: World,
        verifier: Verifier,
        settings: PublisherSettings,
        policies: PublisherPolicies,
        *,
        scheme: Scheme,
        sealer: Sealer,
        chance_of: Callable[[str], Chance],
    ) -> None:
        self.world = world
        self.settings = settings
        self.policies = policies
        self._verifier = verifier
        self._scheme = scheme
        self.chance_of = chance_of
        terms = world.chain.terms
        self._payment_domain = Domain(terms.chain_id, terms.payment)
        self._registry_domain = Domain(terms.chain_id, terms.registry)
        self.payer = Payer(world, settings)
        self.bundler = Bundler(world, settings, sealer, self._payment_domain)
        self.caller = Caller(
            world, self._payment_domain, timeout_ns=settings.call_timeout_ns, tries=settings.call_tries
        )
        self.bills = Bills(
            world.signer.address,
            self.caller,
            self._payment_domain,
            scheme,
            silence_ns=settings.silence_ns,
        )

    # ------------------------------------------------------------ the road

    async def run(self, rental: Rental, wishes: Mailbox[Wanted]) -> None:
        """Rent, watch, and rent again as the policies want, until the rental has ended and its money is back.

        Args:
            rental: a new one that is written down, or one of `resume`.
            wishes: where a person's wishes arrive.
        """
        await Guard(self, wishes).run(rental)

    async def rent(self, pod: Pod) -> Rental | Failed:
        """Steps 0 to 7 for a new pod. Its id is random and kept for the pod's whole life."""
        rental = Rental(PodId(self.world.entropy.draw(32)), pod)
        await self.keep(rental)
        return await self.deploy(rental)

    async def resume(self) -> list[Rental]:
        """After a crash: journalled transactions are sent again, and all rentals are taken up as they were."""
        await self.payer.resume()
        rentals = [Rental.from_record(r) for r in (await self.world.store.scan(TABLE)).values()]
        back = self.world.trace.emit(Event(Happened.RECOVERED, amount=len(rentals)))
        for rental in rentals:
            self.payer.reckon(rental)
            rental.cause = back
        return rentals

    async def deploy(self, rental: Rental) -> Rental | Failed:
        """Steps 1 to 7, from the stage that the rental has reached."""
        if rental.stage in (Stage.AGREED, Stage.FUNDED, Stage.SENT):
            outcome = await self._run_agreed(rental)
            if not isinstance(outcome, Failed):
                return outcome
        if rental.stage is not Stage.CHOOSING:
            return rental
        self._collect_manifest(rental)  # step 1
        failed = Failed("NoCandidate", "no listed provider fits the manifest and the filters")
        order: Sequence[Candidate] = ()
        market = await self._list_providers(rental)  # step 2
        if isinstance(market, Unknown):
            failed = Failed("ChainUnknown", market.reason)
        else:
            chosen = await self._candidates(rental, market)  # step 3
            if isinstance(chosen, Failed):
                failed = chosen
            else:
                order = chosen
        for candidate in order:
            outcome = await self._agree(rental, candidate)
            if isinstance(outcome, Failed):
                self._passed_over(rental, candidate.provider, outcome)
            else:
                outcome = await self._run_agreed(rental)  # steps 4 to 7
            if not isinstance(outcome, Failed):
                return outcome
            failed = outcome
        self.world.trace.emit(
            Event(Happened.DEPLOYMENT_FAILED, rental.namespace, rule=failed.rule, detail=failed.detail),
            rental.cause,
        )
        return failed

    async def _run_agreed(self, rental: Rental) -> Rental | Failed:
        """Steps 4 to 7 with the provider that was agreed with; when one of them fails, the provider is left."""
        outcome: Rental | Failed = rental
        if rental.stage is Stage.AGREED:
            outcome = await self._fund(rental)  # step 4
        if rental.stage is Stage.FUNDED:
            outcome = await self._send(rental)  # step 5
        if rental.stage is Stage.SENT:
            outcome = await self._await_confirmation(rental)  # steps 6 and 7
        if isinstance(outcome, Failed):
            assert rental.provider is not None
            self._passed_over(rental, rental.provider, outcome)
            await self._leave(rental)
        return outcome

    # ------------------------------------------------------------ step 1

    def _collect_manifest(self, rental: Rental) -> None:
        """Step 1: the manifest is checked and named."""
        manifest.check(rental.pod)
        rental.cause = self.world.trace.emit(
            Event(Happened.MANIFEST_COLLECTED, amount=len(manifest.canonical(rental.pod))), rental.cause
        )

    # ------------------------------------------------------------ step 2

    async def _list_providers(self, rental: Rental) -> Market | Unknown:
        """Step 2: the registry's listings, at one block; silence is waited out, up to a limit."""
        market: Market | Unknown = Unknown("not asked")
        for _ in range(TRIES_OF_A_READ):
            deadline_ns = self.world.clock.now_ns() + self.settings.chain_timeout_ns
            market = await self.world.chain.market(deadline_ns=deadline_ns)
            if not isinstance(market, Unknown) and market.listings:
                rental.cause = self.world.trace.emit(
                    Event(Happened.PROVIDERS_LISTED, amount=len(market.listings)), rental.cause
                )
                return market
            await pause(self.world, self.settings.poll_ns)
        return market

    # ------------------------------------------------------------ step 3

    async def _candidates(self, rental: Rental, market: Market) -> Sequence[Candidate] | Failed:
        """Step 3, the choice: who is listed, prices what the pod needs, and in which order they are asked."""
        records = await self.world.content.get_many(
            [listing.record for listing in market.listings],
            max_bytes=MAX_RECORD_BYTES,
            timeout_ns=self.settings.call_timeout_ns,
        )
        found = candidates(
            rental.pod,
            market,
            records,
            token=self.world.chain.terms.token,
            domain=self._registry_domain,
            scheme=self._scheme,
        )
        for provider, fault in found.faulty:
            self._passed_over(rental, provider, Failed(fault.rule, fault.detail))
        order = await self._ordered(rental, market, found.fitting)
        return await self._worth_renting(order) if self.settings.outside_an_hour is not None else order

    async def _worth_renting(self, order: Sequence[Candidate]) -> Sequence[Candidate] | Failed:
        """Who is no dearer than what is to be had elsewhere, by the rate that is known."""
        quote = await self.payer.read_rates()
        if quote is None:
            return Failed("RatesUnknown", "the feed does not say what tokens are worth")
        assert self.settings.outside_an_hour is not None
        most = quote.tokens_for(self.settings.outside_an_hour)
        taken = [candidate for candidate in order if candidate.cost_an_hour <= most]
        if order and not taken:
            least = min(candidate.cost_an_hour for candidate in order)
            return Failed(
                TOO_DEAR, f"a replica costs {least} base units an hour at least, and {most} elsewhere"
            )
        return taken

    async def _ordered(
        self, rental: Rental, market: Market, fitting: Sequence[Candidate]
    ) -> Sequence[Candidate]:
        """What the selection policy makes of them."""
        if rental.liars:
            fitting = [candidate for candidate in fitting if candidate.provider not in rental.liars]
        if rental.pasts:
            fitting = [replace(c, past=rental.pasts.get(c.provider, c.past)) for c in fitting]
        selection, now_ns = self.policies.selection, self.world.clock.now_ns()
        choice = Choice(
            fitting,
            turn=self.settings.turn + rental.attempt,
            now_ns=now_ns,
            age_ns=now_ns - market.block.time_s * NS_PER_S,
            chance=self.chance_of("selection"),
        )
        if getattr(selection, "asks_load", False):
            short = self._chosen("shortlist", choice)
            choice = replace(choice, candidates=await self._loads(rental, short))
        return self._chosen("order", choice)

    def _chosen(self, method: str, choice: Choice) -> Sequence[Candidate]:
        chosen: Sequence[Candidate] = ask(
            self.world,
            "selection",
            self.policies.selection,
            method,
            choice,
            ok=lambda some: is_some_of(some, choice.candidates),
            allowed="a sequence of some of `choice.candidates`, none twice",
        )
        return chosen

    async def _loads(self, rental: Rental, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Ask all of them at once for their load; who does not answer is left without one."""
        answers = self.world.tasks.mailbox()

        async def one(number: int, candidate: Candidate) -> None:
            answers.put((number, await self._load_of(rental, candidate)))

        for number, candidate in enumerate(candidates):
            self.world.tasks.start("load", one(number, candidate))
        loads: dict[int, Load | None] = {}
        while len(loads) < len(candidates):
            answer = await answers.get(NEVER_NS)
            assert answer is not None, "it waits for ever"
            loads[answer[0]] = answer[1]
        return [replace(c, load=loads[number]) for number, c in enumerate(candidates)]

    async def _load_of(self, rental: Rental, candidate: Candidate) -> Load | None:
        try:
            said = await self.caller.call(
                candidate.peer,
                wire.LOAD,
                wire.pb.LoadRequest(),
                wire.pb.LoadResponse,
                provider=candidate.provider,
                pod_id=rental.pod_id,
                life=0,
                seq=0,
            )
        except (Refusal, PeerFault):
            return None
        if isinstance(said, NoAnswer):
            return None
        return Load(self.world.clock.now_ns() - said.atNs, said.pods, said.promisedMillionths / 1_000_000)

    async def _agree(self, rental: Rental, candidate: Candidate) -> Rental | Failed:
        """Step 3, the agreement: the provider's keys are attested and its signed Offer is taken."""
        rental.attempt += 1
        try:
            keys = await self._attest(rental, candidate)
            if isinstance(keys, Failed):
                return keys
            asked = agreement.capacity_request(rental.pod, candidate.table_id)
            answer = await self.caller.call(
                candidate.peer,
                wire.PROVISIONING_CAPACITY,
                asked,
                wire.pb.CapacityResponse,
                provider=candidate.provider,
                pod_id=rental.pod_id,
                life=0,
                seq=0,
            )
            if isinstance(answer, NoAnswer):
                return Failed("NoAnswer", answer.reason)
            offer = Offer.from_wire(answer.offer)
            signer = self._scheme.recover(offer.digest(self._payment_domain), answer.offerSignature)
            if signer != candidate.provider:
                raise PeerFault("OfferNotSignedByProvider", f"it was signed by 0x{signer.hex()}")
            keys_hash = keys.digest(self._registry_domain)
            agreement.check_offer(
                offer,
                publisher=self.world.signer.address,
                provider=candidate.provider,
                pod_id=rental.pod_id,
                asked=asked,
                token=self.world.chain.terms.token,
                table_id=candidate.table_id,
                prices=candidate.prices,
                keys_hash=keys_hash,
                now_ns=self.world.clock.now_ns(),
            )
        except Refusal as refusal:
            return Failed(refusal.rule, refusal.detail)
        except PeerFault as fault:
            rental.remember(candidate.provider, good=False)
            return Failed(fault.rule, fault.detail)
        if offer.min_unlock_s > self.settings.unlock_time_s:
            return Failed(
                "UnlockTimeTooShort",
                f"ours is {self.settings.unlock_time_s} s, the offer demands {offer.min_unlock_s}",
            )
        rental.provider, rental.peer = candidate.provider, candidate.peer
        rental.offer, rental.offer_signature, rental.prices = offer, answer.offerSignature, candidate.prices
        rental.hpke_key = keys.hpke_key
        rental.turn_away()
        rental.agreed_ns, rental.most, rental.bill = self.world.clock.now_ns(), most_held(rental.pod), None
        rental.stage = Stage.AGREED
        rental.cause = self.world.trace.emit(
            Event(Happened.OFFER_TAKEN, rental.namespace, candidate.provider.hex(), amount=offer.min_deposit),
            rental.cause,
        )
        await self.keep(rental)
        return rental

    async def _attest(self, rental: Rental, candidate: Candidate) -> ProviderKeys | Failed:
        """Before anything is paid or sent: the provider proves its keys and what is inside its boundary."""
        nonce = self.world.entropy.draw(attestation.NONCE_BYTES)
        policy = self.settings.attestation
        answer = await self.caller.call(
            candidate.peer,
            wire.ATTEST,
            wire.pb.AttestRequest(nonce=nonce, kinds=policy.kinds),
            wire.pb.AttestResponse,
            provider=candidate.provider,
            pod_id=rental.pod_id,
            life=0,
            seq=0,
        )
        if isinstance(answer, NoAnswer):
            return Failed("NoAnswer", answer.reason)
        verdicts = []
        data = attestation.report_data(
            nonce, ProviderKeys.from_wire(answer.keys).digest(self._registry_domain)
        )
        for evidence in answer.evidence:
            verdict = await self._verifier.verify(
                attestation.Evidence.from_wire(evidence),
                data,
                deadline_ns=self.world.clock.now_ns() + self.settings.call_timeout_ns,
            )
            if isinstance(verdict, Unknown):
                return Failed("EvidenceUnknown", verdict.reason)
            verdicts.append(verdict)
        keys = attestation.check_answer(
            answer,
            nonce,
            provider=candidate.provider,
            domain=self._registry_domain,
            scheme=self._scheme,
            now_ns=self.world.clock.now_ns(),
            policy=policy,
            verdicts=verdicts,
        )
        rental.cause = self.world.trace.emit(
            Event(Happened.PROVIDER_ATTESTED, rental.namespace, candidate.provider.hex()), rental.cause
        )
        return keys

    # ------------------------------------------------------------ step 4

    async def _fund(self, rental: Rental) -> Rental | Failed:
        """Step 4: the channel is created with the first deposit; one that is there already is used."""
        world, offer = self.world, rental.offer
        assert offer is not None and rental.provider is not None and rental.prices is not None
        key = rental.key(world.signer.address)
        tries = 0
        while True:
            # What an earlier incarnation sent has to be known first, or the deposit would be made twice.
            channel = await self.payer.read_when_quiet(key)
            if isinstance(channel, Unknown):
                tries += 1
                if not rental.deposit and tries >= TRIES_OF_A_READ:
                    return Failed("ChainUnknown", channel.reason)
                # Once there may be a deposit, silence is waited out.
                await pause(world, self.settings.poll_ns)
            elif channel is None or not channel.exists:
                failed = await self.open_channel(rental)
                if failed is not None:
                    return failed
            elif channel.unlocked_at_s or self.payer.takes_back(key, channel.life):
                return Failed("UnlockRunning", "an earlier deposit is on its way back")
            else:
                break
        rental.life = channel.life
        rental.put_in = channel.invested_by_publisher
        rental.stage = Stage.FUNDED
        rental.cause = world.trace.emit(
            Event(Happened.CHANNEL_FUNDED, rental.namespace, rental.provider.hex(), amount=rental.put_in),
            rental.cause,
        )
        await self.keep(rental)
        return rental

    async def purse(self, rental: Rental, wallet: int, *, left: int | None, spent_an_hour: int = 0) -> Purse:
        """What the funding policy sees of a rental; see `purse_of`."""
        return purse_of(
            rental,
            wallet,
            left=left,
            rates=await self.payer.read_rates(),
            spent_an_hour=spent_an_hour,
            now_ns=self.world.clock.now_ns(),
            chance=self.chance_of("funding"),
        )

    def deposit(self, purse: Purse) -> int:
        """What the funding policy wants to put in now [token base units]."""
        funding = self.policies.funding
        amount: int = ask(self.world, "funding", funding, "deposit", purse, ok=is_amount, allowed=AN_AMOUNT)
        return amount

    async def open_channel(self, rental: Rental) -> Failed | None:
        """Decide on the first deposit, once, and send it; whether it came to be is read from the chain."""
        assert rental.provider is not None
        if not rental.deposit:
            funds = await self.payer.read_funds()
            if isinstance(funds, Unknown):
                return None
            spendable = self.payer.spendable(rental, funds.token)
            deposit = self.deposit(await self.purse(rental, spendable, left=None))
            if spendable < deposit and spendable < funds.token:
                deposit = (
                    spendable  # the budget binds: what it leaves is put in, if the provider takes so little
                )
                assert rental.offer is not None
                if deposit < max(1, rental.offer.min_deposit):
                    return Failed(
                        BUDGET_SPENT,
                        f"{deposit} base units are left of it; the offer demands {rental.offer.min_deposit}",
                    )
            if deposit > funds.token:
                return Failed("WalletTooSmall", f"{funds.token} base units; {deposit} are needed")
            rental.deposit = deposit
            await self.keep(rental)
        command = CreateChannel(rental.provider, rental.pod_id, self.settings.unlock_time_s, rental.deposit)
        paid = await self.payer.pay(rental, command, rental.deposit)
        return paid if isinstance(paid, Failed) and paid.rule != "AlreadyExists" else None

    # ------------------------------------------------------------ step 5

    async def _send(self, rental: Rental) -> Rental | Failed:
        """Step 5: images and secrets are uploaded encrypted, the bundle is sealed and sent."""
        world, offer = self.world, rental.offer
        assert offer is not None and rental.provider is not None
        bundle = await self.bundler.pack(rental)
        if isinstance(bundle, Failed):
            return bundle
        body = wire.pb.ProvisionPodRequest(
            payment=payment_channel(
                self._payment_domain, world.signer.address, rental.provider, rental.pod_id
            ),
            sealed=self.bundler.seal(rental, bundle),
            offer=offer.to_wire(),
            offerSignature=rental.offer_signature,
        )
        rental.seq += 1
        await self.keep(rental)
        try:
            answer = await self.caller.ask(rental, wire.PROVISION_POD, body, wire.pb.ProvisionPodResponse)
        except Refusal as refusal:
            if refusal.rule != "PodExists":  # it was accepted before, and we were killed before we knew
                return Failed(refusal.rule, refusal.detail)
            answer = NoAnswer(sent=True, reason=refusal.rule)
        except PeerFault as fault:
            answer = NoAnswer(sent=True, reason=fault.rule)
        if isinstance(answer, NoAnswer) and not answer.sent:
            return Failed("NoAnswer", answer.reason)
        # An answer that was lost is no refusal: the status says what became of it.
        if not isinstance(answer, NoAnswer):
            rental.namespace = answer.namespace
        rental.stage = Stage.SENT
        rental.cause = world.trace.emit(
            Event(Happened.BUNDLE_SENT, rental.namespace, rental.provider.hex(), amount=len(body.sealed)),
            rental.cause,
        )
        await self.keep(rental)
        return rental

    # ------------------------------------------------------------ steps 6 and 7

    async def _await_confirmation(self, rental: Rental) -> Rental | Failed:
        """Step 7: ask until the provider says that the pod runs (its step 6 is done), or why not."""
        assert rental.provider is not None
        begin_ns = self.world.clock.now_ns()
        until_ns = begin_ns + self.settings.confirm_timeout_ns
        # A request that is still on its way can be accepted until then: before, "no such pod" proves nothing.
        late_ns = begin_ns + (LIFETIME_S + 2 * CLOCK_SKEW_S) * NS_PER_S
        while self.world.clock.now_ns() < until_ns:
            status = await self.caller.ask_status(rental)
            if isinstance(status, Failed):
                if self.world.clock.now_ns() > late_ns:
                    return status
            elif not isinstance(status, NoAnswer):
                states = wire.pb.PodStatusResponse
                if status.state in (states.RUNNING, states.LOW):
                    rental.namespace = status.namespace
                    rental.stage = Stage.RUNNING
                    rental.cause = self.world.trace.emit(
                        Event(Happened.POD_CONFIRMED, rental.namespace, rental.provider.hex()), rental.cause
                    )
                    await self.keep(rental)
                    return rental
                if status.state in (states.FAILED, states.REMOVED):
                    return Failed(status.reason.rule or "Refused", status.reason.detail)
            await pause(self.world, self.settings.poll_ns)
        return Failed("NotConfirmed", f"not running after {self.settings.confirm_timeout_ns // NS_PER_S} s")

    # ------------------------------------------------------------ another provider

    async def _leave(self, rental: Rental) -> None:
        """Turn away from a provider: what was paid in comes back in the background, and another is chosen."""
        errand = self.payer.errand(rental)
        rental.stage = Stage.CHOOSING
        rental.provider = rental.peer = rental.offer = rental.prices = None
        rental.turn_away()
        await self.payer.take_back(errand, rental.put(), cause=rental.cause)

    # ------------------------------------------------------------ small things

    async def keep(self, rental: Rental) -> None:
        """Write the rental down."""
        await self.world.store.commit([rental.put()])

    def _passed_over(self, rental: Rental, provider: Address, failed: Failed) -> None:
        self.world.trace.emit(
            Event(
                Happened.CANDIDATE_PASSED_OVER,
                rental.namespace,
                provider.hex(),
                failed.rule,
                detail=failed.detail,
            ),
            rental.cause,
        )
