"""Plain text from hh.ru's HTML."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.hh.markup import LONGEST_HTML, snippet_to_text, to_text


def test_highlights_and_entities_become_text():
    snippet = "Знание <highlighttext>Python</highlighttext> &amp; SQL, зарплата &gt; 100&nbsp;000"
    assert to_text(snippet) == "Знание Python & SQL, зарплата > 100 000"


def test_blocks_become_lines_and_lists_dashes():
    html = "<p><strong>Требования:</strong></p> <ul> <li>Python;</li><li><p>SQL.</p></li></ul>Итог"
    assert to_text(html) == "Требования:\n- Python;\n- SQL.\nИтог"


def test_line_breaks_split_lines():
    assert to_text("a<br>b<br/>c") == "a\nb\nc"


def test_scripts_and_styles_are_left_out():
    html = "<style>.a{color:red}</style><script>alert('x')</script><div class='a'>Мы</div>"
    assert to_text(html) == "Мы"


def test_plain_text_is_unchanged():
    assert to_text("C++ и 1 < 2") == "C++ и 1 < 2"
    assert to_text("") == ""


@given(st.text())
def test_any_text_is_accepted_and_no_line_is_blank(text):
    lines = to_text(text).split("\n")
    assert lines == [""] or all(line.strip() for line in lines)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ul><li><p>A</p></li><li>B</li></ul>", "- A\n- B"),
        ("<ul><li><div><p>A</p><p>B</p></div></li></ul>C", "- A\nB\nC"),
        ("<ul><li></li><li> <p></p> </li></ul>C", "C"),
        ("<ol><li><ul><li>A</li></ul></li></ol>B", "- A\nB"),
        ('a <a title="x > y">b</a> c', "a b c"),
        ("a<!-- b > c -->d", "ad"),
    ],
)
def test_list_item_with_blocks_keeps_its_dash(html, text):
    assert to_text(html) == text


def test_other_tags_in_a_snippet_are_text():
    snippet = "Знание <highlighttext>HTML</highlighttext>: <iframe>, <b> &amp; &lt;p&gt;"
    assert snippet_to_text(snippet) == "Знание HTML: <iframe>, <b> & <p>"


HOSTILE = {
    "open tags": "<a ",
    "deep blocks": "<div>",
    "formatting": "<p><b i=1>",
    "comments": "<!--",
    "double quotes": '<a "',
    "single quotes": "<a x='>",
    "declarations": "<![",
    "entities": "&amp",
    "items": "<li><p>",
    "ends": "</p",
    "hidden": "<script>",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_takes_linear_time(piece):
    def seconds(characters):
        html = piece * (characters // len(piece))
        began = time.process_time()
        to_text(html)
        return time.process_time() - began

    assert seconds(36_000) < 7  # html.parser: 28
    assert seconds(LONGEST_HTML) < 35  # quadratic time would be 800


def test_html_beyond_the_limit_is_not_read():
    assert len(to_text("a" * 10 * LONGEST_HTML)) == LONGEST_HTML
