"""Nothing enters a page as markup unless it says that it is."""

from __future__ import annotations

from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from enecg.evaluation.report.markup import Html, html, join


@given(st.text())
def test_text_stays_text(text: str) -> None:
    made = html('<p title="{text}">{text}</p>', text=text)
    title, body = made.removeprefix('<p title="').removesuffix("</p>").split('">', 1)
    assert unescape(title) == unescape(body) == text
    assert not set("<>\"'") & set(title + body)


def test_markup_and_numbers_pass() -> None:
    inner = html("<b>{n:,} {x:.1f}</b>", n=1234, x=0.25)
    assert html("<p>{inner}</p>", inner=inner) == "<p><b>1,234 0.2</b></p>"
    assert join([inner, Html("<i>")], " & ") == "<b>1,234 0.2</b> &amp; <i>"
