"""Phrase matching in an employer's text: whole words, Russian endings, phrases, prefixes."""

import re
import time
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.filters.phrase_matching import PhraseIndex, check_phrase
from ullgetthejob.platform.russian_text import ENDINGS

CONSONANTS = "бвгджзклмнпрстфхцчшщ"
RUSSIAN = st.text("абвгдежзийклмнопрстуфхцчшщъыьэюя", min_size=1, max_size=12)
STEMS = st.builds(
    lambda first, last: first + last,
    st.text("бвгджзклмнпрстаеиоуыя", min_size=3, max_size=9),
    st.sampled_from(CONSONANTS),
)
WORDS = st.from_regex(r"[a-zа-я0-9]{1,12}(\+\+|#)?", fullmatch=True)


def matches(text, phrase):
    return PhraseIndex(text).find(check_phrase(phrase)) is not None


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
def test_phrase_matches_text(phrase, text):
    assert matches(text, phrase)


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
def test_phrase_does_not_match_other_words(phrase, text):
    assert not matches(text, phrase)


@pytest.mark.parametrize(
    "phrase",
    ["", " ", "!!!", "*", "прод*ажи", "*продажи", "ab*", "а" + " б" * 10, "a\x00b", "a\nb"],
)
def test_unsearchable_phrase_is_refused(phrase):
    with pytest.raises(ValueError, match="must"):
        check_phrase(phrase)


@given(STEMS, st.sampled_from(sorted(ENDINGS)), st.sampled_from(["", *sorted(ENDINGS)]))
def test_same_stem_with_two_endings_matches(stem, ending, other_ending):
    assert matches(f"и {stem}{ending}, да", stem + other_ending)
    assert matches(f"и {stem}{other_ending}, да", stem + ending)


@given(RUSSIAN, RUSSIAN)
def test_word_match_is_symmetric(word, other):
    assert matches(word, other) == matches(other, word)


@given(RUSSIAN, RUSSIAN)
def test_matching_words_differ_only_in_endings(word, other):
    if matches(word, other) and word != other:
        pairs = zip(word, other, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        endings = [
            {"", *ENDINGS} & {text[cut:] for cut in range(3, shared + 1)} for text in (word, other)
        ]
        assert shared >= 3
        assert all(endings)


@given(st.lists(WORDS, min_size=1, max_size=30), st.data())
def test_consecutive_words_and_prefixes_match(words, data):
    first = data.draw(st.integers(0, len(words) - 1))
    run = words[first : first + data.draw(st.integers(1, 5))]
    text = " , ".join(words)
    assert matches(text, " ".join(run))
    assert matches(text.upper(), " ".join(run))
    word = data.draw(st.sampled_from([*words, "слово"]))
    prefix = re.match(r"\w+", word)[0][:4]
    if len(prefix) >= 3:
        is_prefix = any(found.startswith(prefix) for found in words)
        assert matches(text, prefix + "*") == is_prefix


@given(st.text(), st.text())
def test_arbitrary_text_and_phrase_do_not_raise(text, phrase):
    try:
        check_phrase(phrase)
    except ValueError:
        return
    assert isinstance(PhraseIndex(text).find(phrase), str | None)


def test_hundred_phrases_in_long_text_take_little_time():
    text = "Требуется разработчик систем, продажи и холодные звонки приветствуются. " * 400
    phrases = [f"слово{n} дело{n}" for n in range(50)] + [f"начал{n}*" for n in range(50)]
    began = time.process_time()
    index = PhraseIndex(text)
    assert not any(index.find(phrase) for phrase in phrases)
    assert time.process_time() - began < 5, "of CPU time, whatever else the machine does"


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
def test_found_words_are_returned_verbatim(phrase, text, found):
    assert PhraseIndex(text).find(phrase) == found
