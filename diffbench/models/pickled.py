"""Checkpoints as torch.save writes them: pickles, read only where the user allows it, and only plain data from them.

``torch.load`` with ``weights_only`` runs none of a pickle's code, but takes whatever any imported package has declared
safe. Here a pickle is gone through before, and may name only what dense tensors in plain containers need.
"""

from __future__ import annotations

import os
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.torch_version import TorchVersion

from diffbench.document.words import shown
from diffbench.errors import WeightsError
from diffbench.models.checked_file import checked_file

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
OLDEST_TORCH = "2.10"
"""Before it, a pickle could corrupt memory in spite of ``weights_only`` (CVE-2026-24747)."""
PICKLE_LIMIT = 64 << 20
"""The longest pickle that is read, in bytes, without the numbers of its tensors."""
DEEPEST = 64

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64")  # what has no storage of its own
_ALLOWED = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch.storage UntypedStorage",
    *(f"torch {kind}Storage" for kind in _STORAGES),
    *(f"torch {dtype}" for dtype in _DTYPES),
}
_IMPORTING = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, keys of its storages; the storages follow


def read_checkpoint(folder: Path, file: str, sha256: Mapping[str, str], allow_pickle: bool) -> Any:
    """What a pickle (``.pt``, ``.pth``, ``.ckpt``, ``.bin``) holds: tensors in dictionaries, lists and tuples.

    Tensors are dense, contiguous, on the CPU, without gradients, of the dtype they are stored in. The file is read
    rather than mapped: of a mapped one torch does not check the sizes, and others may still write to it.

    Raises:
        CardError: ``sha256`` lacks the file.
        WeightsError: pickles are not allowed, torch is too old to read them, or the file is missing, altered,
            malformed, or holds anything else.
    """
    path = folder / file
    if not file.endswith(SUFFIXES):
        raise WeightsError(f"{path}: no weights are read from such files, but from .safetensors, {', '.join(SUFFIXES)}")
    if not allow_pickle:
        raise WeightsError(
            f"{path}: is a pickle, a format that can carry code; convert it to safetensors, which can't, "
            "or pass --allow-pickle to read the tensors alone"
        )
    if TorchVersion(torch.__version__) < OLDEST_TORCH:
        raise WeightsError(f"{path}: pickles are read with torch {OLDEST_TORCH} or later, this is {torch.__version__}")
    with checked_file(folder, file, sha256) as handle:
        size = os.fstat(handle.fileno()).st_size
        try:
            return _loaded(handle, size)
        except _Refused as refused:
            raise WeightsError(f"{path}: {refused}") from None
        except Exception as error:  # unpickling fails in many ways
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise WeightsError(f"{path}: no checkpoint that can be read ({first})") from None


class _Refused(Exception):
    """Why a checkpoint is not read."""


def _loaded(handle: BufferedReader, size: int) -> Any:
    zipped = handle.read(4) == b"PK\3\4"
    storages = 0
    if zipped:
        _check_archive(handle, size)
    else:
        storages = size - _check_legacy(handle)
    handle.seek(0)
    loaded = torch.load(handle, map_location="cpu", weights_only=True, mmap=False)
    plain = _Plain(size)
    made = plain.value(loaded)
    # In the old format torch leaves at random what the list of storages omits.
    if not zipped and (handle.tell() != size or plain.memory() > storages):
        raise _Refused("lacks numbers of its tensors")
    return made


def _check_archive(handle: BufferedReader, size: int) -> None:
    """Refuse a zip archive unless it is laid out as torch.save does: one folder, nothing compressed, a plain pickle."""
    with zipfile.ZipFile(handle) as archive:
        records = archive.infolist()
        names = [record.filename for record in records]
        folder = names[0].partition("/")[0] if names else ""
        if any(name == f"{folder}/constants.pkl" or name.startswith(f"{folder}/code/") for name in names):
            raise _Refused("is a TorchScript program, not weights")
        if f"{folder}/data.pkl" not in names:
            raise _Refused("is an archive without data.pkl: torch.save did not write it")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise _Refused("is a compressed archive; torch.save compresses nothing")
        if (total := sum(record.file_size for record in records)) > size:
            raise _Refused(f"is an archive of {size:,} bytes that claims to hold {total:,}")
        # torch finds records by the first one's folder, whatever their case.
        if len({name.casefold() for name in names}) < len(names) or not all(n.startswith(folder + "/") for n in names):
            raise _Refused("is an archive with ambiguous names")
        if archive.start_dir != _directory(handle, size):
            raise _Refused("is an archive whose directory lies elsewhere than torch.save puts it")
        with archive.open(f"{folder}/data.pkl") as pickle:
            _check_pickle(pickle)


def _directory(handle: BufferedReader, size: int) -> int:
    """Where torch's reader finds an archive's directory: where its last 22 bytes, or the zip64 record, say.

    Python's looks right before these, so that one archive could show a different content to each.
    """
    handle.seek(max(0, size - 98))
    end = handle.read()
    if end[-42:-38] != b"PK\6\7":
        return int.from_bytes(end[-6:-2], "little")
    return int.from_bytes(end[48:56], "little") if int.from_bytes(end[-34:-26], "little") == size - 98 else -1


def _check_legacy(handle: BufferedReader) -> int:
    """Where the storages begin in a file as torch wrote it before 1.6: five pickles, then the storages."""
    handle.seek(257)
    if handle.read(5) == b"ustar":
        raise _Refused("is a tar archive, as torch wrote before 0.2; no pickle in it can be read safely")
    handle.seek(0)
    for _ in range(_LEGACY_PICKLES):
        _check_pickle(handle)
    return handle.tell()


def _check_pickle(stream: IO[bytes]) -> None:
    """Read one pickle's operations, running none, and refuse it where it names more than tensors need."""
    start = stream.tell()
    for operation, argument, position in pickletools.genops(stream):
        if operation.name in _IMPORTING:
            raise _Refused(f"is a pickle with the operation {operation.name}, which torch.save never writes")
        if operation.name == "GLOBAL" and argument not in _ALLOWED:
            name = shown(str(argument).replace(" ", "."))
            raise _Refused(f"names {name}, which is not allowed: only dense tensors in plain containers are read")
        if operation.name == "PROTO" and argument != 2:
            raise _Refused(f"is a pickle of protocol {argument}; torch.save writes 2")
        if (position or 0) - start > PICKLE_LIMIT:
            raise _Refused(f"is a pickle of more than {PICKLE_LIMIT:,} bytes")


class _Plain:
    """Plain copies of loaded containers, with the tensors in them; what is shared stays shared.

    Tensors that don't lie in memory in order are copied, ``budget`` bytes altogether.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._made: dict[int, Any] = {}
        self._storages: dict[int, int] = {}  # address: bytes

    def memory(self) -> int:
        """How many bytes the storages of all tensors take, each counted once."""
        total = reached = 0
        for begin, length in sorted(self._storages.items()):
            total += max(0, begin + length - max(begin, reached))
            reached = max(reached, begin + length)
        return total

    def value(self, given: Any, depth: int = 0) -> Any:
        kind = type(given)
        if given is None or kind in (bool, int, float, str, bytes):
            return given
        if id(given) in self._made:
            return self._made[id(given)]
        if depth > DEEPEST:
            raise _Refused(f"is nested more than {DEEPEST} deep")
        made: Any
        if kind in (Tensor, Parameter):
            made = self._tensor(given)
        elif kind in (dict, OrderedDict):  # dict's own items: an OrderedDict may come with attributes of that name
            if bad := [key for key in dict.keys(given) if type(key) not in (str, int, float, bool)]:
                raise _Refused(f"holds a key of type {type(bad[0]).__name__}")
            made = {key: self.value(item, depth + 1) for key, item in dict.items(given)}
        elif kind is list:
            made = [self.value(item, depth + 1) for item in given]
        elif kind in (tuple, torch.Size):
            made = tuple(self.value(item, depth + 1) for item in given)
        else:
            raise _Refused(f"holds an object of type {kind.__name__}: only tensors in plain containers are read")
        self._made[id(given)] = made
        return made

    def _tensor(self, given: Tensor) -> Tensor:
        storage, length = given.untyped_storage(), given.numel() * given.element_size()
        if given.is_neg():
            raise _Refused("holds a negated view of a tensor")
        if length > storage.nbytes():
            raise _Refused(f"holds a tensor of {length:,} bytes in a storage of {storage.nbytes():,}")
        self._storages[storage.data_ptr()] = max(storage.nbytes(), self._storages.get(storage.data_ptr(), 0))
        if not given.is_contiguous():
            self._budget -= length
            if self._budget < 0:
                raise _Refused("holds more views of its tensors than it has bytes")
        return given.detach().contiguous()
