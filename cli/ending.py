"""How a command ends: what a person is told, and with which status."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NoReturn, ParamSpec

import click

DIFFERENT: Final = 1
WRONG_INPUT: Final = 2
IMPRECISE: Final = 3
UNAVAILABLE: Final = 5
BROKEN: Final = 9
INTERRUPTED: Final = 130

P = ParamSpec("P")


class Told(Exception):
    """Ends a command with a status and a message.

    Args:
        status: exit status.
        message: for a person, on stderr.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _end(status: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(status)


def telling(command: Callable[P, None]) -> Callable[P, None]:
    """A command that tells a user's mistake in words, without a traceback. What is a bug still crashes."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Told as ending:
            _end(ending.status, ending.message)
        except KeyboardInterrupt:
            _end(INTERRUPTED, "interrupted")
        except BrokenPipeError:
            raise
        except Exception as error:
            from protocol.errors import BadInput, PeerFault, PortError

            if isinstance(error, BadInput):
                _end(WRONG_INPUT, str(error))
            if isinstance(error, (PortError, PeerFault)):
                _end(UNAVAILABLE, str(error))
            if isinstance(error, OSError) and error.filename is not None:  # of a path the person named
                _end(WRONG_INPUT, f"{error.filename}: {error.strerror}")
            raise

    return told
