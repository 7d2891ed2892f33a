"""The checks of ``POST`` and ``PUT /resumes``, which refuse with 400 ``bad_json_data``.

Lengths, counts, values and dates are those of :mod:`resume_conditions`; each error has a field, a
reason of hh.ru's list and a pointer (RFC 6901). Fields that hh.ru does not know are ignored.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from local.sandbox.errors import ApiError
from local.sandbox.resumes import resume_references
from local.sandbox.resumes.resume_conditions import conditions

# Which fields a new resume must have is not documented; all others may be added later, before it
# is published (``progress.mandatory``).
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
# The sandbox stores no pictures and no stations, and hides no resume automatically.
IGNORED = ("photo", "portfolio", "metro", "district", "auto_hide_time")


class BodyErrors:
    """The errors of a body."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def add(self, pointer: str, reason: str) -> None:
        """Add an error once. *reason* is one of :data:`DESCRIPTIONS`."""
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
        """Raise 400 if there are errors."""
        if self.errors:
            refusal = ApiError(400, "bad_json_data")
            refusal.errors = self.errors
            raise refusal

    # ── by the conditions ───────────────────────────────────────────────────────────────────────

    def field(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        """Check a field and its contents."""
        if "max_count" in rule:
            self._check_list(value, rule, pointer)
        else:
            self._check_value(value, rule, pointer)

    def _check_list(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if not isinstance(value, list):
            self.add(pointer, "invalid")
            return
        if len(value) < rule["min_count"]:
            self.add(pointer, "size_less_than_min")
        if rule["max_count"] is not None and len(value) > rule["max_count"]:
            self.add(pointer, "size_greater_than_max")
            return
        for number, entry in enumerate(value):
            self._check_value(entry, rule, f"{pointer}/{number}")

    def _check_value(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if "fields" in rule:
            self._check_object(value, rule["fields"], pointer)
        elif "max_length" in rule:
            self._check_text(value, rule, pointer)
        elif "min_value" in rule:
            self._check_number(value, rule, pointer)
        elif "min_date" in rule:
            self._check_date(value, rule, pointer)
        elif pointer == "/has_vehicle":
            if not isinstance(value, bool):
                self.add(pointer, "invalid")
        else:
            name = "/".join(part for part in pointer.split("/")[1:] if not part.isdigit())
            error = resume_references.find_error(name, value)
            if error is not None:
                self.add(pointer + error[0], error[1])

    def _check_object(self, value: Any, fields: dict[str, Any], pointer: str) -> None:
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

    def _check_text(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
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

    def _check_number(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            self.add(pointer, "invalid")
        elif value < rule["min_value"]:
            self.add(pointer, "less_than_min")
        elif rule["max_value"] is not None and value > rule["max_value"]:
            self.add(pointer, "greater_than_max")

    def _check_date(self, value: Any, rule: dict[str, Any], pointer: str) -> None:
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
        """Check that each kind occurs once, one is preferred, and all values are valid."""
        kinds = [contact["type"]["id"] for contact in contacts]
        if len(set(kinds)) < len(kinds):
            self.add("/contact", "must_contain_unique")
        preferred = sum(contact["preferred"] is True for contact in contacts)
        if preferred > 1:
            self.add("/contact", "preferred_must_be_unique")
        if preferred == 0:
            self.add("/contact", "preferred_contact_not_specified")
        for number, contact in enumerate(contacts):
            pointer, value = f"/contact/{number}/value", contact["value"]
            if contact["type"]["id"] == "email":
                if not isinstance(value, str) or not EMAIL.fullmatch(value):
                    self.add(pointer, "invalid")
            else:
                self._check_phone(value, pointer)

    def _check_phone(self, value: Any, pointer: str) -> None:
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
        """Check that each language occurs once, and at most one is native."""
        known = [language["id"] for language in languages]
        if len(set(known)) < len(known):
            self.add("/language", "must_contain_unique")
        if sum(language["level"]["id"] == "l1" for language in languages) > 1:
            self.add("/language", "more_than_one_native_language")

    def jobs(self, jobs: list[dict[str, Any]]) -> None:
        """Check that no job ends before it starts."""
        for number, job in enumerate(jobs):
            end = job.get("end")
            if end and date.fromisoformat(end) < date.fromisoformat(job["start"]):
                self.add(f"/experience/{number}/end", "end_date_before_start_date")


def read(body: dict[str, Any], now: float, *, new: bool, others: set[str]) -> dict[str, Any]:
    """Return the fields of a body, ``None`` for those it clears. Raises 400 ``bad_json_data``.

    *new*: required fields must be present. *others*: the titles of the person's other resumes.
    """
    rules, errors = conditions(now), BodyErrors()
    fields = {name: value for name, value in body.items() if name in rules and name not in IGNORED}
    for name, value in fields.items():
        if value is not None:
            errors.field(value, rules[name], f"/{name}")
        elif value is None and rules[name]["required"] and not new:
            errors.add(f"/{name}", "required")
    for name in REQUIRED_AT_ONCE if new else ():
        if fields.get(name) is None:
            errors.add(f"/{name}", "required")
    errors.refuse()  # the checks below need well-formed fields
    if fields.get("contact"):
        errors.contacts(fields["contact"])
    errors.languages(fields.get("language") or [])
    errors.jobs(fields.get("experience") or [])
    if fields.get("title") in others:
        errors.add("/title", "duplicate")
    errors.refuse()
    for singular, plural in (("employment", "employments"), ("schedule", "schedules")):
        value = fields.pop(singular, None)
        if value is not None:
            fields.setdefault(plural, [value])
    return fields
