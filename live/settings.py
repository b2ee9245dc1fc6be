"""The settings of live mode, and the files they come from.

Unknown keys are errors. Whoever reads a file gets all of its problems at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import BadInput
from protocol.identity import parse_address
from protocol.ports import ChainTerms

GWEI = 10**9


def _address(text: str) -> str:
    try:
        parse_address(text)
    except BadInput as error:
        raise ValueError(str(error)) from error
    return text


AddressText = Annotated[str, AfterValidator(_address)]
HashText = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]


class ChainSettings(BaseModel):
    """A deployment on a chain: what is pinned about it, and how it is spoken to.

    `trustedpods contracts deploy` writes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: tuple[str, ...] = Field(min_length=1, max_length=2)
    """JSON-RPC over HTTP. With two, what decides over money is asked of both, and counts where they agree."""
    chain_id: int = Field(ge=1)
    """EIP-155 id; an endpoint of another chain is refused."""
    payment: AddressText
    """Address of the Payment contract."""
    payment_code: HashText
    """keccak256 of the code that stands there."""
    registry: AddressText
    """Address of the Registry contract."""
    registry_code: HashText
    """keccak256 of the code that stands there."""
    token: AddressText
    """Address of the payment token; the Payment contract has to name the same."""
    token_decimals: int = Field(ge=0, le=255)
    """Decimals of the token. Amounts are whole base units everywhere; people read and write them with these."""
    deployed_block: int = Field(ge=0)
    """The block before which the contracts have emitted nothing; events are read from there on."""
    confirmations: int = Field(default=12, ge=0)
    """Blocks on top of a block before it counts; two and a half minutes of Ethereum."""
    inclusion_s: int = Field(default=180, ge=1)
    """Within so many seconds a transaction is usually mined and confirmed [s]; policies plan with it."""
    max_gas_price_wei: int = Field(default=100 * GWEI, ge=1)
    """The most that is paid for a unit of gas, raised prices included [wei]. Above it nothing is prepared."""
    request_timeout_s: float = Field(default=10.0, gt=0)
    """How long one answer of an endpoint is waited for [s]."""
    poll_s: float = Field(default=2.0, gt=0)
    """Between two looks at a transaction that is under way [s]; a sixth of Ethereum's block time."""
    resend_s: float = Field(default=15.0, gt=0)
    """Between two times that the same bytes are handed over [s]: a node may have lost them."""
    bump_s: float = Field(default=60.0, gt=0)
    """How long a gas price is given before a replacement pays a quarter more [s]; five blocks of Ethereum."""

    @property
    def terms(self) -> ChainTerms:
        """What is pinned, as the core has it."""
        return ChainTerms(
            chain_id=self.chain_id,
            payment=parse_address(self.payment),
            registry=parse_address(self.registry),
            token=parse_address(self.token),
            confirmations=self.confirmations,
            inclusion_s=self.inclusion_s,
        )


def load(path: Path) -> ChainSettings:
    """Read settings.

    Raises:
        BadInput: the file cannot be read, or a value in it cannot be used; all problems at once.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise BadInput(f"{path}: settings are keys and values; this is {type(raw).__name__}")
    try:
        return ChainSettings.model_validate(raw)
    except ValidationError as error:
        told = [
            f"{path}: {'.'.join(map(str, problem['loc'])) or 'settings'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise BadInput("\n".join(told)) from error


def dump(settings: ChainSettings) -> str:
    """The settings as YAML, in the order of the fields."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text
