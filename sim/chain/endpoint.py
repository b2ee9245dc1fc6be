"""A party's way to the chain: one endpoint or two, which can fall silent, and of which one can lie.

- `stale`: it answers as of the block that was newest when the lie began, receipts included.
- `absent`: it says that there are no channels.
- `inflated`: it says that channels hold `INFLATION` times what was put in.

Where there are two, the second is honest, every read goes to both, and where they differ nothing is known.
What is sent goes through either: a lie holds no transaction back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from protocol.payment import Channel, ChannelKey
    from protocol.ports import Market

Lie = Literal["stale", "absent", "inflated"]

INFLATION: Final = 10
"""Enough for a provider to serve on long after a channel is spent."""


class Index:
    """A copy of the registry that many read, made anew when somebody asks and it is too old.

    Args:
        age_ns: how old it may be [ns].
    """

    __slots__ = ("_age_ns", "_made_ns", "_market")

    def __init__(self, age_ns: int) -> None:
        self._age_ns = age_ns
        self._made_ns = 0
        self._market: Market | None = None

    def market(self, now_ns: int, read: Callable[[], Market]) -> Market:
        """The copy; `read` makes it anew."""
        if self._market is None or now_ns - self._made_ns >= self._age_ns:
            self._market, self._made_ns = read(), now_ns
        return self._market


class Endpoint:
    """See the module.

    Args:
        count: how many endpoints it stands for, 1 or 2.

    Attributes:
        silent_until_ns: until when nothing answers [Unix ns].
        differs: whether the last read found the two to differ.
        misled: whether a lie could be believed: it was told, and nobody contradicted.
        index: where the registry is read; None: on the chain.
    """

    __slots__ = ("_frozen", "_lie", "_until_ns", "count", "differs", "index", "misled", "silent_until_ns")

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.silent_until_ns = 0
        self.differs = False
        self.misled = False
        self.index: Index | None = None
        self._lie: Lie | None = None
        self._until_ns = 0
        self._frozen = 0

    def begin(self, lie: Lie, until_ns: int, head: int) -> None:
        """Lie from now on; of several lies the last to begin is told.

        Args:
            lie: which.
            until_ns: until when [Unix ns].
            head: the newest block.
        """
        self._lie, self._until_ns, self._frozen = lie, until_ns, head
        self.misled = self.misled or self.count == 1

    def lies(self, now_ns: int) -> bool:
        """Whether it does now."""
        return now_ns < self._until_ns

    def head(self, now_ns: int, head: int) -> int:
        """The newest block that it tells of."""
        return min(head, self._frozen) if self._lie == "stale" and self.lies(now_ns) else head

    def lie(self, true: Mapping[ChannelKey, Channel | None]) -> Mapping[ChannelKey, Channel | None]:
        """What it says, while it lies, of channels that are `true` at the block that it tells of."""
        match self._lie:
            case "absent":
                return dict.fromkeys(true)
            case "inflated":
                return {
                    key: channel
                    and replace(channel, invested_by_publisher=INFLATION * channel.invested_by_publisher)
                    for key, channel in true.items()
                }
            case _:
                return true
