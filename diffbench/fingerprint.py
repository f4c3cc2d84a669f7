"""What an object of Python's is, as a hash that another process can work out again; None where that can't be said.

Functions are known by their source, their defaults, and all that they refer to outside of themselves: closures, and
globals of their module. Classes by their source; instances by their class and attributes; tensors and arrays by their
bytes; what comes with installed packages by its name and their version. Anything else has no fingerprint, and an object
that holds it has none: better none than one that two different objects share.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_MOST_DEEP = 30


class _Unknown(Exception):
    """What has no fingerprint, in words."""


def fingerprint(value: object) -> str | None:
    """64 hexadecimal digits; None where :func:`why_unknown` says why."""
    try:
        return _Walk().digest(value)
    except _Unknown:
        return None


def why_unknown(value: object) -> str:
    """Why an object has no fingerprint; empty if it has one."""
    try:
        _Walk().digest(value)
    except _Unknown as reason:
        return str(reason)
    return ""


class _Walk:
    """One walk over an object and all that it refers to; what is met again is known by when it was met first."""

    def __init__(self) -> None:
        self.met: dict[int, int] = {}
        self.kept: list[object] = []  # so that no id is given again meanwhile

    def digest(self, value: object) -> str:
        return hashlib.sha256(repr(self.of(value, 0)).encode("utf-8", "surrogatepass")).hexdigest()

    def of(self, value: Any, depth: int) -> Any:
        """A description that is equal for equal objects, made of text, numbers and tuples."""
        if value is None or value is Ellipsis or isinstance(value, bool | int | float | complex | str | bytes | Path):
            return type(value).__name__, repr(value)
        if depth > _MOST_DEEP:
            raise _Unknown(f"it refers to others more than {_MOST_DEEP} deep")
        if isinstance(value, ModuleType):
            return self._module(value)
        if (known := self.met.get(id(value))) is not None:
            return "met", known
        self.met[id(value)] = len(self.met)
        self.kept.append(value)
        if (installed := _installed(value)) is not None:
            return installed, self.of(_held(value), depth + 1) if isinstance(value, FunctionType) else None
        return self._compound(value, depth + 1)

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, list | tuple):
            return type(value).__name__, tuple(self.of(item, depth) for item in value)
        if isinstance(value, Mapping):
            return "mapping", tuple((self.of(key, depth), self.of(item, depth)) for key, item in value.items())
        if isinstance(value, set | frozenset):
            return "set", tuple(sorted(repr(self.of(item, depth)) for item in value))
        if isinstance(value, functools.partial):
            return "partial", self.of((value.func, value.args, value.keywords), depth)
        if isinstance(value, MethodType):
            return "method", self.of((value.__func__, value.__self__), depth)
        if isinstance(value, FunctionType):
            return self._function(value, depth)
        if isinstance(value, type):
            methods = [one for one in vars(value).values() if isinstance(one, FunctionType)]
            return "class", _source(value), self.of((value.__bases__, methods), depth)
        if (array := _bytes_of(value)) is not None:
            return array
        return self._instance(value, depth)

    def _function(self, function: FunctionType, depth: int) -> Any:
        code = function.__code__
        outside = {name: function.__globals__[name] for name in sorted(_globals(code)) if name in function.__globals__}
        return "function", _source(function), self.of((_held(function), outside), depth)

    def _instance(self, value: Any, depth: int) -> Any:
        """An object by what pickling would write of it, which must be all of its state."""
        if hasattr(value, "__wrapped__"):  # a cache, say, around a function
            return "wrapper", self.of((type(value), value.__wrapped__), depth)
        try:
            made = value.__reduce_ex__(4)
        except Exception:
            raise _Unknown(f"it holds an object of type {type(value).__name__}") from None
        if isinstance(made, str):
            raise _Unknown(f"it holds an object of type {type(value).__name__}")
        state = made[2] if len(made) > 2 else None
        if isinstance(state, dict) and callable(getattr(value, "state_dict", None)):
            state = {name: item for name, item in state.items() if name != "training"}  # a mode is no other network
        parts = [list(part) for part in made[3:5] if part is not None]
        return "instance", self.of((type(value), made[0], list(made[1]), state, parts), depth)

    def _module(self, module: ModuleType) -> Any:
        told = _package(module.__name__)
        if told is None:
            raise _Unknown(f"it uses the module {module.__name__}, which belongs to no installed package")
        return told


def _installed(value: Any) -> Any:
    """Functions and classes of packages, by name and version; None for all others."""
    if isinstance(value, BuiltinFunctionType):
        owned = value.__self__ is None or isinstance(value.__self__, ModuleType | type)
        return ("builtin", value.__module__, value.__qualname__) if owned else None
    if not isinstance(value, FunctionType | type):
        return None
    told = _package(value.__module__ or "")
    return None if told is None else (*told, value.__qualname__)


@functools.lru_cache(maxsize=4096)
def _package(module: str) -> tuple[str, str, str] | None:
    """Name and version of the package or Python that a module comes with; None for a module of one's own."""
    top = module.partition(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return "python", module, ".".join(map(str, sys.version_info[:3]))
    found = sys.modules.get(top)
    places = [getattr(found, "__file__", None), *(getattr(found, "__path__", None) or [])]
    sites = {Path(sysconfig.get_paths()[name]).resolve() for name in ("purelib", "platlib")}
    inside = any(place and sites & set(Path(place).resolve().parents) for place in places)
    if top != "diffbench" and not inside:
        return None
    try:
        return "package", module, version((packages_distributions().get(top) or [top])[0])
    except PackageNotFoundError:
        return "package", module, str(getattr(found, "__version__", ""))


def _source(value: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        name = getattr(value, "__qualname__", type(value).__name__)
        raise _Unknown(f"the source of {name} can't be read") from None


def _globals(code: CodeType) -> set[str]:
    """Names that code, and the functions inside it, look up in their module."""
    own = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals(const) for const in code.co_consts if isinstance(const, CodeType)))


def _held(function: FunctionType) -> tuple[Any, ...]:
    """What a function carries along: defaults, and what it closes over."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    return function.__defaults__, function.__kwdefaults__, cells


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _bytes_of(value: Any) -> Any:
    """Type, shape and hash of the bytes of a tensor or an array; None for what is neither."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind in ("torch.dtype", "torch.device", "torch.memory_format", "torch.layout"):
        return kind, str(value)
    if kind in ("torch.Tensor", "torch.nn.parameter.Parameter"):
        flat = value.detach().cpu().contiguous().reshape(-1)
        raw = flat.view(sys.modules["torch"].uint8).numpy().tobytes() if flat.numel() else b""
        return "tensor", str(value.dtype), tuple(value.shape), hashlib.sha256(raw).hexdigest()
    if kind == "numpy.ndarray" and value.dtype != object:
        return "array", str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    return None
