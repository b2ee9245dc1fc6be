"""What the clients say of what they do: the names of the protocol trace.

An event is flat, so that a million of them are a table. The party that emits it and the two clocks
(true and observed time) are added by the `Trace` adapter.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Happened(StrEnum):
    """Names of events, past tense; each says who emits it and which step of the seed it belongs to."""

    MANIFEST_COLLECTED = "ManifestCollected"  # publisher, step 1; amount: bytes
    PROVIDERS_LISTED = "ProvidersListed"  # publisher, step 2; amount: how many
    PROVIDER_ATTESTED = "ProviderAttested"  # publisher, step 3
    OFFER_TAKEN = "OfferTaken"  # publisher, step 3; amount: minimum deposit
    OFFER_MADE = "OfferMade"  # provider, step 3; amount: minimum deposit
    CANDIDATE_PASSED_OVER = "CandidatePassedOver"  # publisher, step 3; rule: why
    TRANSACTION_SENT = "TransactionSent"  # both; rule: function
    TRANSACTION_CONFIRMED = "TransactionConfirmed"  # both; rule: function; amount: fee
    TRANSACTION_REVERTED = "TransactionReverted"  # both; rule: the contract's error; amount: fee
    TRANSACTION_UNKNOWN = "TransactionUnknown"  # both; rule: function
    CHANNEL_FUNDED = "ChannelFunded"  # publisher, step 4; amount: deposit
    IMAGES_UPLOADED = "ImagesUploaded"  # publisher, step 5; amount: bytes sent (0: all were there)
    BUNDLE_SENT = "BundleSent"  # publisher, step 5; amount: bytes sealed
    POD_ACCEPTED = "PodAccepted"  # provider, step 5; amount: life; detail: table id
    REQUEST_REFUSED = "RequestRefused"  # provider; rule
    POD_FAILED = "PodFailed"  # provider, step 6; rule: why it could not be configured
    POD_CONFIGURED = "PodConfigured"  # provider, step 6; amount: version
    POD_CONFIRMED = "PodConfirmed"  # publisher, step 7
    DEPLOYMENT_FAILED = "DeploymentFailed"  # publisher; rule
    POD_METERED = "PodMetered"  # provider, step 12; only where it decided something; amount: owed
    CLAIM_SUBMITTED = "ClaimSubmitted"  # provider, step 13; amount: total claimed; detail: owed
    CLAIM_SETTLED = "ClaimSettled"  # provider, step 13; amount: what it paid; rule: why not; detail: owed
    FUNDS_LOW = "FundsLow"  # provider, step 14; amount: what is left
    POD_SUSPENDED = "PodSuspended"  # provider, step 14; rule: why; amount: owed
    POD_RESUMED = "PodResumed"  # provider
    POD_UPDATED = "PodUpdated"  # provider; amount: version
    POD_REMOVED = "PodRemoved"  # provider, step 14; rule: why; amount: unpaid
    CHANNEL_RELEASED = "ChannelReleased"  # provider, step 14; amount: what went back
    UNLOCK_SEEN = "UnlockSeen"  # provider
    CHAIN_UNKNOWN = "ChainUnknown"  # both; rule: why
    ENDPOINTS_DIFFER = "EndpointsDiffer"  # both, an alarm: two endpoints of one chain do not say the same
    TOPPED_UP = "ToppedUp"  # publisher; amount
    UPDATE_REFUSED = "UpdateRefused"  # publisher; rule
    UNLOCK_STARTED = "UnlockStarted"  # publisher
    FUNDS_RETURNED = "FundsReturned"  # publisher; amount: what came back
    POD_DELETED = "PodDeleted"  # publisher
    LIE_FOUND = (
        "LieFound"  # publisher: what it is billed does not hold; rule: which lie; detail: the evidence
    )
    POD_LOST = "PodLost"  # publisher: the provider removed it, or is silent; rule: why
    LOGS_READ = "LogsRead"  # publisher; amount: lines
    RECOVERED = "Recovered"  # both, after a crash; amount: pods found
    PRICE_CHANGED = "PriceChanged"  # provider; amount: table id


class Event(NamedTuple):
    """One thing that a client saw or did.

    Attributes:
        name: what happened.
        pod: namespace of the pod, or empty.
        peer: the other party's address in hex, or empty.
        rule: the rule, error or function it is about, or empty.
        amount: a number whose meaning `name` says; money is in token base units.
        detail: for a person, or empty.
    """

    name: Happened
    pod: str = ""
    peer: str = ""
    rule: str = ""
    amount: int = 0
    detail: str = ""
