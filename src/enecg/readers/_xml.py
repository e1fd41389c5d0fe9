"""XML from outside: parsed once, safely, and read by name."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from enecg.errors import ReadError, require

DEEPEST: Final = 64  # elements within each other; the files of the makers have about ten

_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_PROLOG: Final = re.compile(r"^\s*<\?xml[^>]*\?>")


class _Tree(TreeBuilder):
    """Builds the tree without namespaces and counts how deep it is."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ReadError(f"XML nested over {DEEPEST} deep; this is not a recording")
        bare = {_bare(name): value for name, value in attrs.items()} if attrs else attrs
        return super().start(_bare(tag), bare)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(_bare(tag))


def document(path: Path) -> Element:
    """Return the root element of an XML file, with namespaces removed from the names.

    A DOCTYPE is allowed and not followed: GE's files have one. Bytes that are not in the stated encoding are read as
    Latin-1, as older exports write names.

    Raises:
        ReadError: the file is no XML, declares entities or refers to other files, or is nested over `DEEPEST` deep.
    """
    require("defusedxml", "formats", "reading XML")
    from defusedxml import DefusedXmlException

    raw = path.read_bytes()
    try:
        try:
            return _parsed(raw)
        except ParseError:
            if raw.startswith(_BYTE_ORDER_MARKS) or _is_utf8(raw):
                raise
            return _parsed(_PROLOG.sub("", raw.decode("latin-1")))
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from None
    except DefusedXmlException as error:
        raise ReadError(f"{path}: its XML declares entities, which are not read; export it without them") from error
    except (ParseError, ValueError, LookupError) as error:
        raise ReadError(f"{path}: damaged file: malformed XML: {error}; export it again") from error


def text(parent: Element | None, name: str) -> str:
    """Return the text of the first element `name` (or path `a/b`) below `parent`, without outer blanks, else `""`."""
    found = None if parent is None else parent.find(name)
    return "" if found is None else " ".join("".join(found.itertext()).split())


def number(value: str) -> float | None:
    """Return a finite number from text, with a decimal point or comma; None for anything else."""
    match = re.fullmatch(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?", value.strip(), flags=re.ASCII)
    found = float(match[0].replace(",", ".")) if match else math.nan
    return found if math.isfinite(found) else None


def _parsed(content: bytes | str) -> Element:
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_Tree())
    parser.feed(content)
    root: Element = parser.close()
    return root


def _bare(name: str) -> str:
    return name.rpartition("}")[2] if "}" in name else name


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
