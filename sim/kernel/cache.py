"""Where compiled code is kept, so that stale code cannot run.

numba keys its cache by the file of the compiled function alone: an old rule of `protocol/scaling/` that was
compiled into a kernel would live on. Here the directory's name holds a hash of every source that takes
part, of the versions of Python, numba and numpy, and of the processor. Where the sources are is not in it:
copies of the same project share what was compiled.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import llvmlite.binding as llvm
import numba
from numba._dynfunc import make_function  # type: ignore[import-not-found]
from numba.core.caching import UserProvidedCacheLocator
from numba.core.codegen import CPUCodeLibrary, JITCPUCodegen
from numba.core.cpu import CPUContext

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
_NOWHERE: Final = 1  # an address


class Locator(UserProvidedCacheLocator):  # type: ignore[misc]
    """Tells numba the one directory.

    Its own would make a folder for every place that sources are in, and if it could not be written, keep the code beside the
    sources, by the file of the entry point alone.
    """

    def get_cache_path(self) -> str:
        """The directory."""
        return _DIRECTORY


@cache
def _writable() -> bool:
    """Whether compiled code can be kept in the directory, which is made."""
    try:
        Path(_DIRECTORY).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=_DIRECTORY).close()
    except OSError:
        return False
    return True


def compiled(function: Callable[..., Any]) -> Any:
    """Makes an entry point of the kernel that numba compiles when it is first called within `settings`.

    Only entry points: what they call is compiled into them.
    """
    with settings():
        return numba.njit(nogil=True, error_model="numpy", cache=_writable())(function)


def kept(entry: Any) -> bool:
    """Whether an entry point is here compiled, for these sources; if not, its first use compiles it."""
    function = entry.py_func
    name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}"
    return any(Path(_DIRECTORY).glob(f"{name}-*.nbc"))


def waiting_for(entry: Any) -> str | None:
    """What to tell a person who is about to wait until an entry point is compiled; None: it is `kept`."""
    if kept(entry):
        return None
    how_often = "once"
    if not _writable():
        how_often = f"at every run, for {_DIRECTORY} cannot be written ({VARIABLE} names another directory)"
    return f"compiling the data plane for this machine; {how_often}, half a minute or so ..."


def _callable(module: Any) -> bool:
    """Whether Python can call what a module of LLVM's holds: only then is it an entry point."""
    return any(f.name.startswith("_ZN7cpython") and not f.is_declaration for f in module.functions)


@contextmanager
def _in_one_piece() -> Iterator[None]:
    """What the entry point calls is optimised and turned into machine code as part of it, and not before.

    numba does both for each function by itself, and then again for all that calls it, although nobody can
    call the kernel's inner functions but the entry point. Without that, compiling takes 0.6 of the time.
    """
    optimise, add, executable = (
        CPUCodeLibrary._optimize_final_module,
        JITCPUCodegen._add_module,
        CPUContext.get_executable,
    )

    parts: dict[int, Any] = {}  # modules of inner functions, by id; kept, so that an id stays its own

    def optimise_entry(library: Any) -> None:
        if _callable(library._final_module):
            optimise(library)
        else:
            parts[id(library._final_module)] = library._final_module

    def add_entry(codegen: Any, module: Any) -> Any:
        return None if id(module) in parts else add(codegen, module)

    def executable_entry(context: Any, library: Any, description: Any, environment: Any) -> Any:
        library._ensure_finalized()
        if id(library._final_module) not in parts:  # what comes from the cache among them
            return executable(context, library, description, environment)
        name = description.qualname.split(".")[-1]  # something that is never called, for numba's records
        return make_function(description.lookup_module(), name, "", _NOWHERE, environment, (library,))

    CPUCodeLibrary._optimize_final_module = optimise_entry
    JITCPUCodegen._add_module = add_entry
    CPUContext.get_executable = executable_entry
    try:
        yield
    finally:
        CPUCodeLibrary._optimize_final_module = optimise
        JITCPUCodegen._add_module = add
        CPUContext.get_executable = executable


@contextmanager
def settings() -> Iterator[None]:
    """Numba's settings for the kernel while it is compiled; other users of numba keep theirs.

    LLVM's first level of optimisation: code as fast as the third's, a fifth less time to compile (measured).
    """
    config, locator = numba.config, f"{__name__}.{Locator.__name__}"
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, config.OPT
    config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, config.OPT = _DIRECTORY, locator, _LEVEL
    try:
        with _in_one_piece():
            yield
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, config.OPT = before
