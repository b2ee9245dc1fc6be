"""Whether the bytecode can be run here, asked without loading the EVM."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

MISSING: Final = (
    "needs pyrevm, which is not installed: pip install 'trusted-pods[evm]', on Python 3.11 or 3.12, "
    "for it has no wheels for Python 3.13"
)
"""What to say when it cannot."""


def installed() -> bool:
    """Whether pyrevm is there."""
    return find_spec("pyrevm") is not None
