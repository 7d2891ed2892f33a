"""The long texts of a vacancy: HTML description, branded page, and the lines of a snippet."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from local.sandbox.seeded_random import SeededRandom
from local.sandbox.vacancies import russian

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.sandbox.vacancies.vacancy import Vacancy

SNIPPET_CHARACTERS = 200

_STYLE = """<style>
.tmpl_hh_wrapper{{max-width:750px;margin:0 auto;color:#{color};font-family:Arial,sans-serif}}
.tmpl_hh_header{{background:url("//i.hh.ru/logos/brand{number}.jpg") no-repeat;height:220px}}
.tmpl_hh_content li:before{{content:"\\2014\\a0"}}
@media (max-width:700px){{.tmpl_hh_header{{height:auto}}.tmpl_hh_wrapper>div{{padding:0 10px}}}}
</style>"""
_SCRIPT = """<script>(function(w,d){{var b=d.querySelector('.tmpl_hh_header');
if(b&&w.innerWidth<700){{b.innerHTML='<img alt="" src="//i.hh.ru/logos/{number}.png">';}}
}})(window,document);</script>"""


def _list(lines: tuple[str, ...], end: str, *, paragraphs: bool) -> str:
    """Return a list as hh.ru's editor writes it; *paragraphs*: as it writes pasted text."""
    before, after = ("<p>", "</p>") if paragraphs else ("", "")
    items = "".join(f"<li>{before}{escape(line, quote=False)}{end}{after}</li> " for line in lines)
    return f"<ul> {items}</ul>"


def description(vacancy: Vacancy) -> str:
    """Return HTML as hh.ru's editor writes it: paragraphs, strong heads, lists, some entities."""
    rng = SeededRandom(vacancy.text_id, "description")
    strong = rng.happens(0.95)
    heads = [f"<strong>{head}</strong>" if strong else head for head in vacancy.heads]
    end = rng.pick([";", ".", ""])
    paragraphs = SeededRandom(vacancy.text_id, "paragraphs in lists").happens(0.25)
    parts = [f"<p>{line}</p>" for line in vacancy.intro]
    if rng.happens(0.12):
        parts.append("<br />")
    for head, lines in zip(
        heads, (vacancy.duties, vacancy.requirements, vacancy.conditions), strict=True
    ):
        parts += [f"<p>{head}</p>", _list(lines, end, paragraphs=paragraphs)]
    if vacancy.plus:
        parts += ["<p>Будет плюсом:</p>", _list(vacancy.plus, end, paragraphs=paragraphs)]
    closing = f"<em>{vacancy.closing}</em>" if rng.happens(0.15) else vacancy.closing
    parts.append(f"<p>{closing}</p>")
    if rng.happens(0.04):
        parts.append("<p>\u200b</p>")
    return " ".join(parts)


def branded(vacancy: Vacancy) -> str | None:
    """Return the employer's page around the description, with ``<style>`` and at times a script."""
    if not vacancy.branded:
        return None
    rng = SeededRandom(vacancy.id, "branded")
    number = rng.integer(1_000, 99_999)
    page = [
        _STYLE.format(color=f"{rng.integer(0, 0xFFFFFF):06x}", number=number),
        '<div class="tmpl_hh_wrapper"><div class="tmpl_hh_header"></div>',
        f'<div class="tmpl_hh_content"><h2>{escape(vacancy.name)}</h2> ',
        f"{description(vacancy)}</div>",
        "".join(
            f'<div class="tmpl_hh_slider__item" data-n="{n}">'
            f'<img src="//i.hh.ru/b/{number}_{n}.jpg"'
            f' alt="{escape(vacancy.employer.name)}" /></div>'
            for n in range(int(1_100 * rng.uniform() ** 4))  # a few pages are very long
        ),
        "</div>",
    ]
    if rng.happens(0.25):
        page.append(_SCRIPT.format(number=number))
    return "".join(page)


def highlight(text: str, wanted: Callable[[str], bool] | None) -> str:
    """Return *text* with ``<highlighttext>`` around the words for which *wanted* is true."""
    if wanted is None:
        return text
    return russian.WORD.sub(
        lambda word: f"<highlighttext>{word[0]}</highlighttext>" if wanted(word[0]) else word[0],
        text,
    )


def _line(sentences: tuple[str, ...], wanted: Callable[[str], bool] | None) -> str:
    """Return the sentences from the first with a wanted word, cut to the length of a snippet."""
    start = 0
    if wanted is not None:
        for number, sentence in enumerate(sentences):
            if any(wanted(word) for word in russian.WORD.findall(sentence)):
                start = number
                break
    text = " ".join(f"{sentence}." for sentence in sentences[start:])
    if len(text) > SNIPPET_CHARACTERS:
        text = re.sub(r"\W*\w*$", "", text[:SNIPPET_CHARACTERS]) + "..."
    return ("..." if start else "") + highlight(text, wanted)


def snippet(vacancy: Vacancy, wanted: Callable[[str], bool] | None) -> dict[str, str | None]:
    """Return ``{"requirement", "responsibility"}``; either may be ``None``, as at hh.ru."""
    rng = SeededRandom(vacancy.text_id, "snippet")
    no_requirement, no_duty = rng.happens(0.01), rng.happens(0.015)
    return {
        "requirement": None if no_requirement else _line(vacancy.requirements, wanted),
        "responsibility": None if no_duty else _line(vacancy.duties, wanted),
    }
