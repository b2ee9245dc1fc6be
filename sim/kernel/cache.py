"""Where compiled code is kept, so that stale code cannot run.

numba keys its cache by the file of the compiled function alone: an old `protocol/scaling.py` that was
compiled into a kernel would live on. Here the directory's name holds a hash of every source that takes
part, of the versions of Python, numba and numpy, and of the processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import llvmlite.binding as llvm
import numba

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ("protocol/units.py", "sim/laws.py")
FOLDERS: Final = ("protocol/scaling", "sim/kernel")
VARIABLE: Final = "TRUSTED_PODS_CACHE"
"""Environment variable: a directory to keep compiled code in, instead of the user's cache directory."""


def sources(root: Path = ROOT) -> list[Path]:
    """Every file whose text ends up in compiled code, sorted."""
    folders = (path for name in FOLDERS for path in (root / name).glob("*.py"))
    return sorted([*(root / name for name in SOURCES), *folders])


def digest(files: Iterable[Path]) -> str:
    """Hash of the files' names and contents, the versions and the processor: 20 hexadecimal digits."""
    state = hashlib.sha256()
    machine = (platform.python_version(), version("numba"), version("numpy"), llvm.get_host_cpu_name())
    for part in (*machine, platform.machine()):
        state.update(part.encode() + b"\0")
    for path in files:
        text = path.read_bytes()
        state.update(f"{path.parent.name}/{path.name}:{len(text)}:".encode())
        state.update(text)
    return state.hexdigest()[:20]


def directory(root: Path = ROOT) -> Path:
    """The directory for the sources as they are now."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        base = Path(chosen)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trusted-pods"
    return base / digest(sources(root))


_DIRECTORY: Final = str(directory())
_LEVEL: Final = type(numba.config.OPT)(1)


def compiled(function: Callable[..., Any]) -> Any:
    """Makes an entry point of the kernel that numba compiles when it is first called within `settings`.

    Only entry points: what they call is compiled into them.
    """
    with settings():
        return numba.njit(nogil=True, cache=True)(function)


def kept() -> bool:
    """Whether the kernel is here compiled; if not, its first use compiles it, which takes half a minute or so."""
    return any(Path(_DIRECTORY).rglob("*.nbc"))


@contextmanager
def settings() -> Iterator[None]:
    """Numba's settings for the kernel while it is compiled; other users of numba keep theirs.

    LLVM's first level of optimisation: code as fast as the third's, a fifth less time to compile (measured).
    """
    before = numba.config.CACHE_DIR, numba.config.OPT
    numba.config.CACHE_DIR, numba.config.OPT = _DIRECTORY, _LEVEL
    try:
        yield
    finally:
        numba.config.CACHE_DIR, numba.config.OPT = before
