"""What the tests of the clients share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.protocol.clients.market import MARKETS


@pytest.fixture(autouse=True)
def _begun(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let tasks that were started at a test's last instant begin: one that never begins is a warning."""
    MARKETS.clear()
    failed = request.session.testsfailed
    yield
    for market in MARKETS:
        if request.session.testsfailed == failed:
            market.env.run(until=int(market.env.now) + 1)
    MARKETS.clear()
