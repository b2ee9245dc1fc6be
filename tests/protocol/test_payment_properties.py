"""Whatever publishers, provider and clock do, no token is made or lost and nobody is locked out."""

from __future__ import annotations

from hypothesis import settings

from protocol import payment
from tests.protocol.payment_machine import machine_for

TestPlainToken = machine_for(payment).TestCase
TestPlainToken.settings = settings(max_examples=150, stateful_step_count=40)

TestTokenWithAFee = machine_for(payment, fee=1).TestCase
TestTokenWithAFee.settings = settings(max_examples=60, stateful_step_count=40)
