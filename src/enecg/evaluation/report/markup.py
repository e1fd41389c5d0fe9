"""Markup that escapes by default: whatever is not marked as markup enters a page as text."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is markup already (HTML or SVG)."""

    __slots__ = ()


def html(template: str, /, **values: object) -> Html:
    """Fill a format string; every value but numbers and `Html` is escaped, for text and for quoted attributes."""
    return Html(template.format_map({name: _safe(value) for name, value in values.items()}))


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Markup after markup; `between` is escaped."""
    return Html(escape(between).join(parts))


def _safe(value: object) -> object:
    return value if isinstance(value, Html | int | float) else escape(str(value))
