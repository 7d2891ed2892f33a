"""Whether hh.ru would take what ``POST`` and ``PUT /resumes`` bring: 400 ``bad_json_data`` if not.

Lengths, counts, values and dates are those of ``/resume_conditions``; each finding has a field, a
reason of hh.ru's list and a pointer (RFC 6901). Fields that hh.ru does not know are ignored.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from local.sandbox.errors import ApiError
from local.sandbox.resumes import resume_references
from local.sandbox.resumes.resume_conditions import conditions

# Which fields a new resume must bring is not published; all others may come later, before it is
# published (``progress.mandatory``).
REQUIRED_AT_ONCE = ("title", "first_name", "last_name", "area")
DESCRIPTIONS = {
    "required": "Обязательное поле",
    "invalid": "Недопустимое значение",
    "not_found": "Значение не найдено",
    "not_in_dictionary": "Значения нет в справочнике",
    "not_a_leaf": "Нужно выбрать конкретный город",
    "not_country": "Значение не является страной",
    "not_available": "Значение недоступно",
    "not_match_regexp": "Значение содержит недопустимые символы",
    "length_less_than_min": "Слишком короткое значение",
    "length_greater_than_max": "Слишком длинное значение",
    "size_less_than_min": "Слишком мало значений",
    "size_greater_than_max": "Слишком много значений",
    "less_than_min": "Значение ниже допустимого",
    "greater_than_max": "Значение выше допустимого",
    "earlier_than_min": "Дата раньше допустимой",
    "later_than_max": "Дата позже допустимой",
    "end_date_before_start_date": "Дата окончания раньше даты начала",
    "more_than_one_native_language": "Родной язык может быть только один",
    "must_contain_unique": "Значения должны быть уникальными",
    "preferred_must_be_unique": "Предпочитаемый способ связи может быть только один",
    "preferred_contact_not_specified": "Не указан предпочитаемый способ связи",
    "need_country_city_number_or_formatted": "Укажите страну, город и номер или номер целиком",
    "more_than_one": "Может быть только одно значение",
    "duplicate": "Значение уже было использовано",
}
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONE = re.compile(r"[0-9]{11,15}")
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# The sandbox keeps no pictures and no stations, and hides nothing by itself.
IGNORED = ("photo", "portfolio", "metro", "district", "auto_hide_time")


class Findings:
    """What is wrong with a body."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def add(self, pointer: str, reason: str) -> None:
        """*reason* is one of :data:`DESCRIPTIONS`. A field is named once a reason."""
        names = [part for part in pointer.split("/")[1:] if not part.isdigit()]
        while len(names) > 1 and names[-1] in ("id", "type"):
            names.pop()
        error = {
            "type": "bad_json_data",
            "value": names[-1],
            "reason": reason,
            "description": DESCRIPTIONS[reason],
            "pointer": pointer,
        }
        if error not in self.errors:
            self.errors.append(error)

    def refuse(self) -> None:
        """Raise 400 if there is anything."""
        if self.errors:
            refusal = ApiError(400, "bad_json_data")
            refusal.errors = self.errors
            raise refusal

    # ── by the conditions ───────────────────────────────────────────────────────────────────────

    def field(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        """Check one field, and what is in it."""
        if "max_count" in rule:
            self._list(value, rule, pointer)
        else:
            self._one(value, rule, pointer)

    def _list(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if not isinstance(value, list):
            self.add(pointer, "invalid")
            return
        if len(value) < rule["min_count"]:
            self.add(pointer, "size_less_than_min")
        if rule["max_count"] is not None and len(value) > rule["max_count"]:
            self.add(pointer, "size_greater_than_max")
            return
        for number, one in enumerate(value):
            self._one(one, rule, f"{pointer}/{number}")

    def _one(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if "fields" in rule:
            self._object(value, rule["fields"], pointer)
        elif "max_length" in rule:
            self._text(value, rule, pointer)
        elif "min_value" in rule:
            self._number(value, rule, pointer)
        elif "min_date" in rule:
            self._date(value, rule, pointer)
        elif pointer == "/has_vehicle":
            if not isinstance(value, bool):
                self.add(pointer, "invalid")
        else:
            name = "/".join(part for part in pointer.split("/")[1:] if not part.isdigit())
            wrong = resume_references.wrong(name, value)
            if wrong is not None:
                self.add(pointer + wrong[0], wrong[1])

    def _object(self, value: Any, fields: dict[str, Any], pointer: str) -> None:
        if not isinstance(value, dict):
            self.add(pointer, "invalid")
            return
        for name, rule in fields.items():
            inner = f"{pointer}/{name}"
            if value.get(name) is not None:
                self.field(value[name], rule, inner)
            elif rule["required"]:
                is_reference = inner.strip("/").rpartition("/")[2] in ("type", "level")
                self.add(f"{inner}/id" if is_reference else inner, "required")

    def _text(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if not isinstance(value, str):
            self.add(pointer, "invalid")
        elif len(value.strip()) < rule["min_length"]:
            self.add(pointer, "length_less_than_min")
        elif len(value) > rule["max_length"]:
            self.add(pointer, "length_greater_than_max")
        elif "regexp" in rule and re.fullmatch(rule["regexp"], value) is None:
            self.add(pointer, "not_match_regexp")
        elif value in rule.get("not_in", ()):
            self.add(pointer, "invalid")

    def _number(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(pointer, "invalid")
        elif value < rule["min_value"]:
            self.add(pointer, "less_than_min")
        elif rule["max_value"] is not None and value > rule["max_value"]:
            self.add(pointer, "greater_than_max")

    def _date(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        try:
            day = date.fromisoformat(value if DAY.fullmatch(value) else "")
        except (TypeError, ValueError):
            self.add(pointer, "invalid")
            return
        if day < date.fromisoformat(rule["min_date"]):
            self.add(pointer, "earlier_than_min")
        elif day > date.fromisoformat(rule["max_date"]):
            self.add(pointer, "later_than_max")

    # ── across fields ───────────────────────────────────────────────────────────────────────────

    def contacts(self, contacts: list[dict[str, Any]]) -> None:
        """Each kind once, one of them preferred, addresses and numbers that can be such."""
        kinds = [one["type"]["id"] for one in contacts]
        if len(set(kinds)) < len(kinds):
            self.add("/contact", "must_contain_unique")
        preferred = sum(one["preferred"] is True for one in contacts)
        if preferred > 1:
            self.add("/contact", "preferred_must_be_unique")
        if preferred == 0:
            self.add("/contact", "preferred_contact_not_specified")
        for number, one in enumerate(contacts):
            pointer, value = f"/contact/{number}/value", one["value"]
            if one["type"]["id"] == "email":
                if not isinstance(value, str) or not EMAIL.fullmatch(value):
                    self.add(pointer, "invalid")
            else:
                self._phone(value, pointer)

    def _phone(self, value: Any, pointer: str) -> None:
        phone = value if isinstance(value, dict) else {}
        parts = [phone.get(part) for part in ("country", "city", "number")]
        if all(parts):
            fits = all(isinstance(part, str) and part.isdecimal() for part in parts)
            whole = "".join(map(str, parts))
        elif phone.get("formatted"):
            fits = isinstance(phone["formatted"], str)
            whole = re.sub(r"[-+() ]", "", str(phone["formatted"]))
        else:
            self.add(pointer, "need_country_city_number_or_formatted")
            return
        fits = fits and PHONE.fullmatch(whole) is not None
        if not fits:
            self.add(pointer, "invalid")

    def languages(self, languages: list[dict[str, Any]]) -> None:
        """Each once, and one native."""
        known = [one["id"] for one in languages]
        if len(set(known)) < len(known):
            self.add("/language", "must_contain_unique")
        if sum(one["level"]["id"] == "l1" for one in languages) > 1:
            self.add("/language", "more_than_one_native_language")

    def jobs(self, jobs: list[dict[str, Any]]) -> None:
        """None ends before it begins."""
        for number, one in enumerate(jobs):
            end = one.get("end")
            if end and date.fromisoformat(end) < date.fromisoformat(one["start"]):
                self.add(f"/experience/{number}/end", "end_date_before_start_date")


def read(body: dict[str, Any], now: float, *, new: bool, others: set[str]) -> dict[str, Any]:
    """The fields that a body brings, ``None`` for those it empties. Raises 400 ``bad_json_data``.

    *new*: some must be there. *others*: the titles that the person's other resumes have.
    """
    rules, found = conditions(now), Findings()
    brought = {name: value for name, value in body.items() if name in rules and name not in IGNORED}
    for name, value in brought.items():
        if value is not None:
            found.field(value, rules[name], f"/{name}")
        elif value is None and rules[name]["required"] and not new:
            found.add(f"/{name}", "required")
    for name in REQUIRED_AT_ONCE if new else ():
        if brought.get(name) is None:
            found.add(f"/{name}", "required")
    found.refuse()  # what follows takes well-formed fields
    if brought.get("contact"):
        found.contacts(brought["contact"])
    found.languages(brought.get("language") or [])
    found.jobs(brought.get("experience") or [])
    if brought.get("title") in others:
        found.add("/title", "duplicate")
    found.refuse()
    for one, many in (("employment", "employments"), ("schedule", "schedules")):
        single = brought.pop(one, None)
        if single is not None:
            brought.setdefault(many, [single])
    return brought
