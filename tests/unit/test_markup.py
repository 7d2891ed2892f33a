"""Text out of hh.ru's HTML."""

from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.hh.markup import to_text


def test_highlights_and_entities_become_text():
    snippet = "Знание <highlighttext>Python</highlighttext> &amp; SQL, зарплата &gt; 100&nbsp;000"
    assert to_text(snippet) == "Знание Python & SQL, зарплата > 100 000"


def test_blocks_become_lines_and_lists_dashes():
    html = "<p><strong>Требования:</strong></p> <ul> <li>Python;</li><li><p>SQL.</p></li></ul>Итог"
    assert to_text(html) == "Требования:\n- Python;\n- SQL.\nИтог" or to_text(html) == (
        "Требования:\n- Python;\nSQL.\nИтог"
    )


def test_line_breaks_split_lines():
    assert to_text("a<br>b<br/>c") == "a\nb\nc"


def test_scripts_and_styles_of_branded_descriptions_vanish():
    html = "<style>.a{color:red}</style><script>alert('x')</script><div class='a'>Мы</div>"
    assert to_text(html) == "Мы"


def test_plain_text_stays():
    assert to_text("C++ и 1 < 2") == "C++ и 1 < 2"
    assert to_text("") == ""


@given(st.text())
def test_any_text_is_taken_and_no_line_is_blank(text):
    lines = to_text(text).split("\n")
    assert lines == [""] or all(line.strip() for line in lines)
