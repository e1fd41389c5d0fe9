"""A bundle's folder: what may be replaced, how it is replaced, and how a change of any file is found."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from enecg.errors import InputError

DOCUMENT: Final = "bundle.json"
DIGEST: Final = "sha256"  # key in the document: the hash of all the rest of it
READABLE: Final = (7, 8)  # formats; 7, of version 0.1, has no hash of its document
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


def check_target(folder: Path) -> None:
    """Raise `InputError` unless a bundle may be written to `folder`: nothing else is ever removed.

    Allowed are a path where nothing is, an empty folder, and a folder that holds a bundle and no other file.
    """
    if folder.is_symlink():
        raise InputError(f"--out {folder}: is a link; name the folder itself")
    whole = folder.resolve()
    here = Path.cwd()
    if whole == here or whole in here.parents:
        raise InputError(f"--out {folder}: is the current folder or one above it; name a folder of its own")
    blocking = next((parent for parent in whole.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        raise InputError(f"--out {folder}: {blocking} is a file; choose another --out")
    if not whole.exists():
        return
    if not whole.is_dir():
        raise InputError(f"--out {folder}: is a file; choose another --out")
    names = [path.relative_to(whole).as_posix() for path in sorted(whole.rglob("*")) if not _is_plain_folder(path)]
    if not names:
        return
    written = _files_of_bundle(whole)
    if written is None:
        raise InputError(f"--out {folder}: exists and is not a bundle; choose another --out")
    foreign = [name for name in names if name not in written]
    if foreign:
        raise InputError(
            f"--out {folder}: holds {foreign[0]}, which is not part of the bundle; move it elsewhere first"
        )


def replace_folder(work: Path, folder: Path) -> None:
    """Put the finished folder `work` in the place of `folder`, which holds an older bundle, nothing, or is not there.

    Both lie on one file system. Where the system can exchange two names (Linux), a reader sees the old or the new
    bundle at any moment, and so it is after a kill. Elsewhere a kill between two renames leaves the old bundle whole
    under a hidden name beside it; `restore` brings it back.
    """
    if not folder.exists():
        work.replace(folder)
    elif _exchange(work, folder):
        shutil.rmtree(work)  # now the old bundle
    else:
        old = _set_aside(folder)
        shutil.rmtree(old, ignore_errors=True)  # left over by a kill after the new bundle was in place
        folder.replace(old)
        work.replace(folder)
        shutil.rmtree(old)


def restore(folder: Path) -> None:
    """Bring back a bundle that an interrupted replacement has set aside."""
    old = _set_aside(folder)
    if old.is_dir() and not folder.exists():
        old.replace(folder)


def sealed(document: Mapping[str, Any]) -> str:
    """Return the document as text, with the hash of its content."""
    return _text({**document, DIGEST: _digest(document)})


def open_document(folder: Path) -> tuple[dict[str, Any], str]:
    """Read a bundle's document and compare every hash in it.

    Returns:
        The document, and the bundle's hash: of the content, or in format 7 of the file.

    Raises:
        InputError: no document, one that is damaged or was changed, or a file that is missing or was changed.
    """
    restore(folder)
    path = folder / DOCUMENT
    if not path.is_file():
        raise InputError(f"{folder}: no {DOCUMENT} in it; give the folder that `enecg fit --out` wrote")
    try:
        text = path.read_bytes().decode("utf-8")
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"{path}: not readable as JSON ({reason}); fit or copy the bundle again") from None
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise InputError(f"{path}: not a bundle's document; give the folder that `enecg fit --out` wrote")
    if document["format"] not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise InputError(f"{path}: format {document['format']}; this version of enecg reads formats {known}")
    digest = document.pop(DIGEST, None)
    if document["format"] != READABLE[0] and digest is None:
        raise InputError(f"{path}: its hash is missing; copy the bundle again")
    if digest is not None and digest != _digest(document):
        raise InputError(f"{path}: changed since it was saved; copy the bundle again")
    _check_files(folder, document.get("files"))
    return document, digest or hashlib.sha256(text.encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _check_files(folder: Path, listed: object) -> None:
    if not isinstance(listed, dict) or not listed:
        raise InputError(f"{folder / DOCUMENT}: names no files; copy the bundle again")
    for name, sha in listed.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{folder / DOCUMENT}: names the file {name} outside of its folder; copy the bundle again")
        if not (folder / name).is_file() or _sha256(folder / name) != sha:
            raise InputError(f"{folder / name}: missing or changed since it was saved; copy the bundle again")


def _files_of_bundle(folder: Path) -> set[str] | None:
    """Return the names of the files that `save` wrote there; None when the document is not a bundle's."""
    try:
        document = json.loads((folder / DOCUMENT).read_bytes())
        if "format" in document and "enecg" in document:
            return {DOCUMENT, *document["files"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    return None


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _set_aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # an old C library
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # a file system that cannot
        return False
    raise OSError(number, os.strerror(number), str(other))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(document).encode("utf-8", "surrogatepass")).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
