"""The parts of a letter that state facts: employers, titles, numbers, skills, names, contacts.

Each function yields those that resume and vacancy do not have. Where names may be inflected, words
are compared by their forms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ullgetthejob.fit import words
from ullgetthejob.hh.models import VacancyDetail
from ullgetthejob.platform import russian_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ullgetthejob.letters.facts import Facts

NAME = r"[A-ZА-ЯЁ][\w&-]{1,40}(?: [A-ZА-ЯЁ0-9][\w&-]{0,40}){0,3}"
QUOTED = r"[«\"“„]([^»\"”“\n]{2,60})[»\"”“]"
EMPLOYER = re.compile(
    rf"\b(?:ООО|АО|ПАО|ОАО|ЗАО|ИП|ГК|НКО) ?(?:{QUOTED}|({NAME}))"
    rf"|\b[Кк]омпани\w{{1,3}} (?:{QUOTED}|({NAME}))"
    rf"|\b(?:[Оо]рганизаци|[Фф]ирм|[Кк]оманд|[Кк]оллектив|[Бб]анк|[Хх]олдинг|[Гг]рупп|[Зз]авод)"
    rf"\w{{0,3}} {QUOTED}"
    rf"|\b(?:[Рр]аботал\w?|[Рр]аботаю|[Тт]рудил\w{{2}}|[Пп]ришл?[её]?л?\w?) (?:в|из) "
    rf"(?:{QUOTED}|({NAME}))"
    rf"|\b(?:в|из|во) {QUOTED}"
    rf"|\b(?:[Jj]oin(?:ing)?|[Ww]ork(?:ed|ing)? (?:at|for)|[Pp]osition at|[Rr]ole at|[Tt]eam at)"
    rf" (?:{QUOTED}|({NAME}))"
)
VACANCY = re.compile(
    rf"\b(?:ваканси|позици|должност)\w{{1,3}} (?:{QUOTED}|"
    r"([А-ЯЁA-Zа-яёa-z][\w +#/-]{2,60}))"
    rf"|\b(?:position|role|job) of (?:an? )?(?:{QUOTED}|([A-Za-z][\w +#/-]{{2,60}}))",
    re.IGNORECASE,
)
LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>»\")]{2,200}"
    r"|(?<![@\w.-])(?!(?i:asp|ado)\.net\b)[\w-]{1,63}\.(?:ru|com|org|net|io|dev|me|рф|by|kz|su|pro"
    r"|link|app|cc|info|biz|site|online)\b(?:/[^\s<>»\")]{0,200})?",
    re.IGNORECASE,
)
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
PHONE = re.compile(r"(?<![\w+])\+?\d(?:[ ()-]{0,2}\d){9,13}(?!\w)")
HANDLE = re.compile(r"(?<![\w.@])@\w{4,32}\b")
GROUPED = r"\d{1,3}(?:[  ]\d{3})+|\d+"
NUMBER = re.compile(
    rf"(?<![\w.,/-])({GROUPED})(?:[.,](\d{{1,4}}))?(?:[  ]?(тыс|млн|[кkKК]\b))?(?![\w/]|-?[сСcC]\b)"
    r"(?:[  ]?%)?"
)
NUMBER_WORDS = {
    word: number
    for number, names in enumerate(
        (
            "", "один одного одну one", "два две двух двухлетний two", "три трех трехлетний three",
            "четыре четырех four", "пять пяти пятилетний five", "шесть шести шестилетний six",
            "семь семи семилетний seven", "восемь восьми восьмилетний eight",
            "девять девяти девятилетний nine", "десять десяти десятилетний ten",
            "одиннадцать одиннадцати eleven", "двенадцать двенадцати twelve",
            "тринадцать тринадцати", "четырнадцать четырнадцати",
            "пятнадцать пятнадцати пятнадцатилетний fifteen",
        )
    )
    for word in names.split()
} | {"двадцать": 20, "двадцати": 20, "двадцатилетний": 20, "twenty": 20}  # fmt: skip
YEARS = re.compile(
    rf"\b({'|'.join(sorted(NUMBER_WORDS, key=len, reverse=True))})\w{{0,3}} ?"
    r"(?=год|года|лет\b|years?\b|летн|опыт|стаж)",
    re.IGNORECASE,
)
# A sentence with these does not claim the skill.
NO_CLAIM = re.compile(
    r"изуч|осво|осваив|науч|учусь|интерес|хочу|хотел|не работал|нет опыта|не знаю|пока не|без опыта"
    r"|\blearn|\bstudy|no experience|not yet|never|\bwant|would like",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[.!?;](?=\s)|\n")
LATIN_WORD = re.compile(r"(?<![\w@./-])[A-Za-z][A-Za-z0-9]*(?:[.][A-Za-z]\w*|[+#]+)?")
SPECIAL_WORD = re.compile(r"\b[A-Z]?[a-z0-9]+[A-Z]\w*|\b[A-Za-z]+[+#]+|\b[A-Za-z]+\.(?:js|NET)\b")
# Latin words of Russian letters that name no skill.
COMMON_LATIN = frozenset(
    """
    cv hh hr it email mail telegram whatsapp skype zoom ps p.s b2b b2c offline online ok full time
    part remote junior middle senior lead team best regards
    """.split()  # noqa: SIM905
)
SIGNED = re.compile(
    r"(?:[Сс] уважением|[Вв]сего доброго|[Bb]est regards|[Kk]ind regards|[Rr]egards|[Ss]incerely"
    rf"|[Мм]еня зовут|[Mm]y name is)[,:]?\s{{1,4}}({NAME})"
)


def find_employers(facts: Facts) -> Iterator[str]:
    """Yield employers that neither the vacancy nor the resume name."""
    for match in EMPLOYER.finditer(facts.letter):
        name = _group(match).rstrip(".,")
        if not facts.knows_words(name):
            yield name


def find_other_vacancies(facts: Facts) -> Iterator[str]:
    """Yield titles that the letter applies to, and that share no word with the vacancy's."""
    wanted = words.title_words(facts.vacancy.name)
    for match in VACANCY.finditer(facts.letter):
        name = _group(match)
        named = words.title_words(name)
        # "позиции в команде": no title, but a place
        if name.split()[0].lower() in ("в", "на", "с", "и", "по", "at", "in"):
            continue
        if named and wanted and not named & wanted:
            yield name


def find_numbers(facts: Facts) -> Iterator[str]:
    """Yield numbers that neither resume nor vacancy have. Years of experience in all are known,
    rounded down or up; contacts and links are no numbers."""
    letter = facts.letter
    for pattern in (EMAIL, LINK, PHONE):
        letter = pattern.sub(" ", letter)
    known = {
        _value(match) for match in NUMBER.finditer(f"{facts.resume_text}\n{facts.vacancy_text}")
    }
    known |= {float(digits) for digits in re.findall(r"\d{4}", facts.resume_text)}  # of dates
    if facts.months is not None:
        years = facts.months // 12
        known |= {float(facts.months), float(years), float(years + 1)}
    for match in NUMBER.finditer(letter):
        if _value(match) not in known:
            yield match[0]
    for match in YEARS.finditer(letter.replace("ё", "е")):
        if float(NUMBER_WORDS[match[1].lower()]) not in known:
            yield match[0]


def _value(match: re.Match[str]) -> float:
    whole, fraction, unit = match.groups()
    value = float(f"{re.sub(r'[^0-9]', '', whole)[:15]}.{fraction or 0}")
    factor = {"т": 1e3, "м": 1e6, "к": 1e3, "k": 1e3}.get((unit or " ")[0].lower(), 1)
    return value * factor


def find_skills(facts: Facts) -> Iterator[str]:
    """Yield skills that the letter names and the resume does not: key skills of the vacancy, and,
    in a Russian letter, all Latin words that are neither names of the vacancy nor common."""
    named = words.Text(f"{facts.vacancy.name}\n{facts.vacancy.employer.name}")
    keys: dict[str, str] = {}
    if isinstance(facts.vacancy, VacancyDetail):
        keys = words.skill_keys(list(facts.vacancy.key_skills))
    is_russian = bool(re.search("[а-яё]{3}", facts.letter, re.IGNORECASE))
    for sentence in _claims(facts.letter):
        text = words.Text(sentence)
        for key, name in keys.items():
            if text.has(key) and not words.is_soft(key) and not _has_skill(facts, key):
                yield name
        for match in (LATIN_WORD if is_russian else SPECIAL_WORD).finditer(sentence):
            key = words.skill_key(match[0])
            if match[0].lower() in COMMON_LATIN or named.has(key) or key in named.words:
                continue
            if key not in keys and len(match[0]) > 1 and not _has_skill(facts, key):
                yield match[0]


def _claims(letter: str) -> Iterator[str]:
    """Yield the sentences that claim something, without links and contacts."""
    for pattern in (EMAIL, LINK, HANDLE):
        letter = pattern.sub(" ", letter)
    for sentence in SENTENCE_END.split(letter):
        if not NO_CLAIM.search(sentence):
            yield sentence


def _has_skill(facts: Facts, key: str) -> bool:
    return facts.resume_words.has(key) or all(
        part in facts.resume_words.words for part in key.split()
    )


def find_names(facts: Facts) -> Iterator[str]:
    """Yield names of the writer of which no word is the resume's. A name in the other script is not
    compared."""
    fields = ("first_name", "last_name", "middle_name")
    own = " ".join(str(facts.resume.get(field) or "") for field in fields).strip()
    if not own:
        return
    known = frozenset[str]().union(*map(russian_text.keys_of, russian_text.plain_words(own)))
    is_cyrillic = bool(re.search("[а-яё]", own, re.IGNORECASE))
    for match in SIGNED.finditer(facts.letter):
        name = match[1]
        if bool(re.search("[а-яё]", name, re.IGNORECASE)) != is_cyrillic:
            continue
        if not any(russian_text.keys_of(word) & known for word in russian_text.plain_words(name)):
            yield name


def find_links(facts: Facts) -> Iterator[str]:
    """Yield links that the resume does not have."""
    letter, known = EMAIL.sub(" ", facts.letter), facts.resume_text.lower()
    for match in LINK.finditer(letter):
        link = match[0].rstrip(".,;:!?").lower()
        if re.sub(r"^(https?://)?(www\.)?", "", link).rstrip("/") not in known:
            yield match[0]


def find_contacts(facts: Facts) -> Iterator[str]:
    """Yield e-mail addresses, phones and handles that the resume does not have."""
    known = facts.resume_text.lower()
    for match in EMAIL.finditer(facts.letter):
        if match[0].rstrip(".").lower() not in known:
            yield match[0]
    for match in PHONE.finditer(facts.letter):
        if re.sub(r"\D", "", match[0])[-10:] not in facts.resume_digits:
            yield match[0]
    for match in HANDLE.finditer(facts.letter):
        if match[0][1:].lower() not in known:
            yield match[0]


def _group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).strip()
