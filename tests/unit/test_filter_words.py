"""A person's words in an employer's text: whole words, Russian endings, phrases, beginnings."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.applications.filters.phrase_matching import PhraseIndex, check_phrase
from ullgetthejob.platform.russian_text import ENDINGS

CONSONANTS = "бвгджзклмнпрстфхцчшщ"
RUSSIAN = st.text("абвгдежзийклмнопрстуфхцчшщъыьэюя", min_size=1, max_size=12)
BEGINNINGS = st.builds(
    lambda first, last: first + last,
    st.text("бвгджзклмнпрстаеиоуыя", min_size=3, max_size=9),
    st.sampled_from(CONSONANTS),
)
WORDS = st.from_regex(r"[a-zа-я0-9]{1,12}(\+\+|#)?", fullmatch=True)


def has(text, phrase):
    return PhraseIndex(text).contains(check_phrase(phrase))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("продажи", "Менеджер отдела продаж"),
        ("продажи", "активным продажам, холодные звонки"),
        ("водитель", "Ищем ВОДИТЕЛЕЙ категории Е"),
        ("компания", "в крупную компанию"),
        ("система", "поддерживать систему"),
        ("холодные звонки", "опыт холодных звонков"),
        ("ночная смена", "работа в ночные смены"),
        ("стажёр", "Стажер / junior"),
        ("стажер", "СТАЖЁР"),
        ("стаж*", "Стажировка в банке"),
        ("прием", "приема заявок"),
        ("разработчик", "Веб-разработчик"),
        ("front-end", "Frontend, Front End developer"),
        ("1с", "Программист 1С:ERP"),
        ("C++", "Разработчик C++/Qt"),
        ("c#", "C#, .NET"),
        ("python", "Python+Django"),
        ("node.js", "Node JS"),
        ("бар", "в нашем баре"),
        ("йод*", "йодный"),
        ("C++", "Программист С++"),  # Cyrillic С
        ("С++", "C++ developer"),
        ("1C", "Программист 1С:ERP"),
        ("1с", "Администратор 1C"),
        ("CEO", "СЕО / генеральный директор"),
        ("QA", "QА-инженер"),
        ("HR", "НR-менеджер"),
        ("python", "Разработчик \u0440ython"),  # Cyrillic р
        ("продажа", "продаж\u0061"),  # Latin a
        ("продажи", "про\u00adда\u200bжи"),  # a soft hyphen, a zero-width space
        ("ＪＡＶＡ", "Java"),
        (".NET", "Разработчик .NET (C#)"),
        (".net", "ASP.NET Core"),
        ("F#", "F#, OCaml"),
        ("R&D", "Инженер R&D"),
        ("закупки", "отдел закупок"),
        ("командировки", "готовность к командировкам, без командировок"),
        ("командировки", "10 командировок в год"),
        ("касса", "работа на двух касс"),
        ("звонки", "без холодных звонков"),
        ("стажёр", "ищем стажёров"),
        ("и\u0306одныи\u0306 раствор", "йодный раствор"),  # й in two characters
    ],
)
def test_it_finds(phrase, text):
    assert has(text, phrase)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("продажи", "Продакт-менеджер"),
        ("java", "JavaScript"),
        ("c", "C++ и C#"),
        ("c++", "C и C#"),
        ("прием", "при этом, преимущества"),
        ("стаж", "стажировка"),
        ("разработчик", "разработка"),
        ("холодные звонки", "звонки холодные"),
        ("холодные звонки", "холодные входящие звонки"),
        ("ночь", "ночной"),
        ("дом", "до"),
        ("sale", "sales"),
        ("стаж*", "без опыта"),
        ("go", "going, cargo"),
        (".NET", "зарплата (до 300 000 net)"),
        ("C", "работа с клиентами"),
        ("C", "Программист С++"),
        ("R&D", "R и D"),
        ("F#", "F"),
        ("java", "JаvaScript"),
    ],
)
def test_it_does_not_find(phrase, text):
    assert not has(text, phrase)


@pytest.mark.parametrize(
    "phrase",
    ["", " ", "!!!", "*", "прод*ажи", "*продажи", "ab*", "а" + " б" * 10, "a\x00b", "a\nb"],
)
def test_what_cannot_be_looked_for_is_refused(phrase):
    with pytest.raises(ValueError, match="must"):
        check_phrase(phrase)


@given(BEGINNINGS, st.sampled_from(sorted(ENDINGS)), st.sampled_from(["", *sorted(ENDINGS)]))
def test_one_beginning_with_any_two_endings_is_one_word(beginning, one, other):
    assert has(f"и {beginning}{one}, да", beginning + other)
    assert has(f"и {beginning}{other}, да", beginning + one)


@given(RUSSIAN, RUSSIAN)
def test_two_words_find_each_other_or_neither_does(one, other):
    assert has(one, other) == has(other, one)


@given(RUSSIAN, RUSSIAN)
def test_words_that_find_each_other_share_all_but_endings(one, other):
    if has(one, other) and one != other:
        shared = 0
        while one[shared : shared + 1] and one[shared : shared + 1] == other[shared : shared + 1]:
            shared += 1
        ends = [
            {"", *ENDINGS} & {word[cut:] for cut in range(3, shared + 1)} for word in (one, other)
        ]
        assert shared >= 3
        assert all(ends)


@given(st.lists(WORDS, min_size=1, max_size=30), st.data())
def test_any_run_of_words_is_found_and_so_are_beginnings(words, data):
    first = data.draw(st.integers(0, len(words) - 1))
    run = words[first : first + data.draw(st.integers(1, 5))]
    text = " , ".join(words)
    assert has(text, " ".join(run))
    assert has(text.upper(), " ".join(run))
    word = data.draw(st.sampled_from([*words, "слово"]))
    beginning = re.match(r"\w+", word)[0][:4]
    if len(beginning) >= 3:
        begins = any(one.startswith(beginning) for one in words)
        assert has(text, beginning + "*") == begins


@given(st.text(), st.text())
def test_no_text_and_no_phrase_breaks_it(text, phrase):
    try:
        check_phrase(phrase)
    except ValueError:
        return
    assert PhraseIndex(text).contains(phrase) in (True, False)


def test_a_hundred_phrases_in_a_long_text_take_no_time():
    text = "Требуется разработчик систем, продажи и холодные звонки приветствуются. " * 400
    phrases = [f"слово{n} дело{n}" for n in range(50)] + [f"начал{n}*" for n in range(50)]
    began = time.perf_counter()
    searched = PhraseIndex(text)
    assert not any(searched.contains(phrase) for phrase in phrases)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("закупки", "Менеджер отдела Закупок, Москва", "Закупок"),
        ("холодные звонки", "Без холодных\u00ad звонков!", "холодных\u00ad звонков"),
        ("C++", "Программист С++", "С++"),
        ("йодный", "и\u0306одный раствор", "йодный"),
        ("стаж*", "Стажировка", "Стажировка"),
    ],
)
def test_found_words_are_given_as_they_stand_in_the_text(phrase, text, found):
    assert PhraseIndex(text).find(phrase) == found
