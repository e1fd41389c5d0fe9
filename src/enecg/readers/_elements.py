"""The data elements of a DICOM file (PS3.5, section 7), walked once to see that every stated length fits.

pydicom reads on where a length is wrong; samples that were lost or moved would look whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from enecg.errors import ReadError

_LONG: Final = (
    b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
)  # types whose length takes four bytes behind two empty ones
_SHORT: Final = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD)
_META: Final = 0x0002  # the group that is always explicit
_STORAGE_CLASS: Final = 0x0002  # in that group
_TRANSFER_SYNTAX: Final = 0x0010
_DEEPEST: Final = 32  # sequences within each other
_FIRST: Final = 3  # elements that must be well-formed before a file without preamble is taken for DICOM
_MAGIC: Final = b"DICM"


def begins_with_elements(head: bytes) -> bool:
    """Return whether bytes begin with elements of the file meta or identifying groups in rising order."""
    at, last = 0, (0, 0)
    for _ in range(_FIRST):
        if len(head) < at + 12:
            return False
        tag: tuple[int, int] = struct.unpack_from("<HH", head, at)
        if tag[0] not in (_META, 0x0008) or tag <= last:
            return False
        _, begin, size = _opened(head, at, head[at + 4 : at + 6] not in (*_LONG, *_SHORT))
        if size % 2 or size > len(head):
            return False
        at, last = begin + size, tag
    return True


def file_meta(raw: bytes) -> tuple[str, str, int]:
    """Return the storage class and the transfer syntax of a file with a preamble, and where its data set begins.

    Raises:
        ValueError: the file meta information is damaged.
    """
    at, found = 132, {}
    while at + 12 <= len(raw) and struct.unpack_from("<H", raw, at)[0] == _META:
        element = struct.unpack_from("<H", raw, at + 2)[0]
        _, begin, size = _opened(raw, at, False)
        at = begin + size
        found[element] = raw[begin:at].strip(b"\x00 ").decode("ascii", "replace")
    return found.get(_STORAGE_CLASS, ""), found.get(_TRANSFER_SYNTAX, ""), at


def check_elements(raw: bytes, implicit: bool, is_sequence: Callable[[tuple[int, int]], bool], where: str) -> None:
    """Raise `ReadError` where the length of an element, item or sequence does not fit what it holds.

    Args:
        raw: a little-endian file, with or without preamble and file meta information.
        implicit: whether the data set states no value types.
        is_sequence: whether the dictionary calls a tag a sequence, for a data set without value types.
        where: the file, for the message.
    """
    try:
        begin = 132 if raw[128:132] == _MAGIC else 0
        _Walk(raw, is_sequence).elements(begin, len(raw), implicit, bounded=True)
    except (ValueError, struct.error) as error:
        raise ReadError(f"{where}: damaged DICOM file: {error}; export it again") from error


class _Walk:
    def __init__(self, raw: bytes, is_sequence: Callable[[tuple[int, int]], bool]) -> None:
        self._raw, self._is_sequence, self._depth = raw, is_sequence, 0

    def elements(self, at: int, end: int, implicit: bool, *, bounded: bool) -> int:
        """Walk the elements up to `end`, or to an item's delimiter where the item is not `bounded`."""
        seen = set()
        while at < end:
            tag = self._tag(at)
            if tag == _ITEM_END and not bounded:
                return at + 8
            if tag == (0, 0) and not any(self._raw[at:end]):
                return end  # filled up with zeros
            if tag in seen:  # as where the end of an item was lost
                raise ValueError(f"element ({tag[0]:04x},{tag[1]:04x}) occurs twice in one item")
            seen.add(tag)
            untyped = implicit and tag[0] != _META
            kind, begin, size = _opened(self._raw, at, untyped)
            if size == _UNDEFINED:
                at = self._items(begin, end, untyped or kind == b"UN", bounded=False)
                continue
            at = begin + size
            if at > end:
                raise ValueError(f"element ({tag[0]:04x},{tag[1]:04x}) states {size} bytes, {end - begin} are left")
            if kind == b"SQ" or (untyped and self._is_sequence(tag)):
                self._items(begin, at, untyped, bounded=True)
        if not bounded:
            raise ValueError("an item does not end")
        return at

    def _items(self, at: int, end: int, implicit: bool, *, bounded: bool) -> int:
        """Walk the items of a sequence up to `end`, or to its delimiter where it is not `bounded`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"sequences nested over {_DEEPEST} deep")
        while at < end:
            tag = self._tag(at)
            size = struct.unpack_from("<I", self._raw, at + 4)[0]
            at += 8
            if tag == _SEQUENCE_END and not bounded:
                self._depth -= 1
                return at
            if tag != _ITEM or (size != _UNDEFINED and at + size > end):
                raise ValueError(f"an item of {size} bytes with tag ({tag[0]:04x},{tag[1]:04x}) in a sequence")
            inner = end if size == _UNDEFINED else at + size
            at = self.elements(at, inner, implicit, bounded=size != _UNDEFINED)
        if not bounded:
            raise ValueError("a sequence does not end")
        self._depth -= 1
        return at

    def _tag(self, at: int) -> tuple[int, int]:
        group, element = struct.unpack_from("<HH", self._raw, at)
        return group, element


def _opened(raw: bytes, at: int, untyped: bool) -> tuple[bytes, int, int]:
    """Of the element at a place: its value type, where its value begins, and how many bytes it states."""
    if untyped:
        return b"", at + 8, struct.unpack_from("<I", raw, at + 4)[0]
    kind = raw[at + 4 : at + 6]
    if kind in _LONG:
        return kind, at + 12, struct.unpack_from("<I", raw, at + 8)[0]
    if kind in _SHORT:
        return kind, at + 8, struct.unpack_from("<H", raw, at + 6)[0]
    raise ValueError(f"an element of the unknown type {kind!r}")
