"""Text out of hh.ru's markup: descriptions are HTML, snippets carry ``<highlighttext>``."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    (
        *("address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "footer", "header"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "section", "ul"),
        *("table", "tbody", "td", "th", "thead", "tr"),
    )
)
_UNSEEN = frozenset(("script", "style", "template", "noscript", "head", "title"))
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r" ?\n[ \n]*")


class _TextOf(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_startendtag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data.replace("\n", " "))


def to_text(html: str) -> str:
    """*html* as plain text: a line a block, ``- `` before list items, no scripts or styles."""
    parser = _TextOf()
    parser.feed(html)
    parser.close()
    text = _SPACES.sub(" ", "".join(parser.pieces))
    lines = [line.strip() for line in _BLANK_LINES.sub("\n", text).split("\n")]
    return "\n".join(line for line in lines if line not in ("", "-"))
