"""Plain text from hh.ru's markup: descriptions are HTML, snippets text with ``<highlighttext>``.

The descriptions are employers' own, so they may contain anything. They are read in one pass without
backtracking: Python's ``html.parser`` takes half a minute for 36 KB of ``<a <a <a …``, and a parser
that builds the tree of HTML5 (lexbor was tried) 1.6 GB for ``<p><b i=1><p><b i=2>…``. Nothing here
needs a tree: blocks become lines, items get a dash, scripts and styles are left out.
"""

from __future__ import annotations

import re
from html import unescape

LONGEST_HTML = 200_000  # characters; hh.ru's own limit of a description is far below it
_BLOCKS = frozenset(
    (
        *("address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "footer", "header"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "section", "ul"),
        *("table", "tbody", "td", "th", "thead", "tr"),
    )
)
_HIDDEN = frozenset(("script", "style", "template", "noscript", "head", "title"))
_TAG_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]{0,30})")
_HIGHLIGHT = re.compile(r"</?highlighttext>", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_ITEM = "\n- "


class _Lines:
    """Text with one line per block; a line break is added with its text, so no line is empty."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._pending_break = ""

    def begin_line(self) -> None:
        if self._pending_break != _ITEM:  # a paragraph in an item keeps the dash of the item
            self._pending_break = "\n"

    def begin_item(self) -> None:
        self._pending_break = _ITEM

    def end_item(self) -> None:
        self._pending_break = "\n"

    def add(self, text: str) -> None:
        text = _SPACES.sub(" ", text)
        if not text.strip():
            self._pieces += [text] if text and not self._pending_break else []
            return
        self._pieces += [self._pending_break, text.lstrip() if self._pending_break else text]
        self._pending_break = ""

    def text(self) -> str:
        lines = "".join(self._pieces).split("\n")
        return "\n".join(stripped for line in lines if (stripped := _SPACES.sub(" ", line).strip()))


def to_text(html: str) -> str:
    """Return *html* as plain text: one line per block, ``- `` before items, no scripts or styles.

    Reads :data:`LONGEST_HTML` characters at most, in linear time.
    """
    lines, hidden_depth, at = _Lines(), 0, 0
    html = html[:LONGEST_HTML]
    while at < len(html):
        opening = _next_markup(html, at)
        if not hidden_depth:
            lines.add(unescape(html[at:opening]))
        if opening == len(html):
            break
        end = _end_of_markup(html, opening)
        tag = _TAG_NAME.match(html, opening)
        if tag is not None and end <= len(html):
            name, closes = tag[1].lower(), html[opening + 1] == "/"
            if name in _HIDDEN:
                hidden_depth = max(0, hidden_depth - 1) if closes else hidden_depth + 1
            else:
                _break_line(lines, name, closes=closes)
        at = end
    return lines.text()


def snippet_to_text(snippet: str) -> str:
    """Return a snippet as plain text. hh.ru: the words of the search are marked in it with
    ``<highlighttext>``; any other ``<tag>`` is text that an employer wrote."""
    return _SPACES.sub(" ", unescape(_HIGHLIGHT.sub("", snippet))).strip()


def _break_line(lines: _Lines, name: str, *, closes: bool) -> None:
    if name == "li":
        lines.end_item() if closes else lines.begin_item()
    elif name in _BLOCKS:
        lines.begin_line()


def _next_markup(html: str, at: int) -> int:
    """Return the position of the next tag, comment or declaration: a ``<`` before a letter, ``/``,
    ``!`` or ``?`` (HTML: tag open state); the length of *html* if there is none."""
    while True:
        at = html.find("<", at)
        if at < 0 or at + 1 >= len(html):
            return len(html)
        following = html[at + 1]
        if following in "!?/" or (following.isascii() and following.isalpha()):
            return at
        at += 1


def _end_of_markup(html: str, opening: int) -> int:
    """Return the end of the markup at *opening*; more than the length if it is not closed."""
    if html.startswith("<!--", opening):
        end = html.find("-->", opening + 4)
        return end + 3 if end >= 0 else len(html) + 1
    at = opening + 1
    while True:
        close = html.find(">", at)
        if close < 0:
            return len(html) + 1
        quote = _open_quote(html, at, close)
        if quote is None:
            return close + 1
        at = html.find(html[quote], close)
        if at < 0:  # an unclosed quote hides nothing
            return close + 1
        at += 1


def _open_quote(html: str, start: int, end: int) -> int | None:
    """Return the position of the quote that is still open at *end*; ``None`` without one."""
    open_at: int | None = None
    for at in range(start, end):
        if open_at is None:
            if html[at] in "\"'" and html[at - 1] in "= ":
                open_at = at
        elif html[at] == html[open_at]:
            open_at = None
    return open_at
