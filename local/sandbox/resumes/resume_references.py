"""The references in the fields of a resume: to dictionaries, areas, languages, roles.

A rule takes the id in the body and returns one of hh.ru's reasons to refuse it, or ``None``. Most
references are ``{"id": ...}``; a few are the id itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from local.sandbox.dictionaries import catalogue, geography

if TYPE_CHECKING:
    from collections.abc import Callable

    Rule = Callable[[str], str | None]

LOCALES = frozenset({"RU", "EN"})


def _dictionary(name: str, id_: str) -> str | None:
    return None if id_ in catalogue.ids(name) else "not_in_dictionary"


def _access(id_: str) -> str | None:
    # hh.ru: refused since September 2021, though the dictionary still has it.
    return "not_available" if id_ == "everyone" else _dictionary("resume_access_type", id_)


def _any_area(id_: str) -> str | None:
    return None if id_ in geography.areas() else "not_found"


def _leaf(id_: str) -> str | None:
    area = geography.areas().get(id_)
    if area is None:
        return "not_found"
    return "not_a_leaf" if area.children else None


def _country(id_: str) -> str | None:
    area = geography.areas().get(id_)
    if area is None:
        return "not_found"
    return None if area.parent_id is None else "not_country"


def _role(id_: str) -> str | None:
    return None if id_ in catalogue.roles() else "not_in_dictionary"


def _industry(id_: str) -> str | None:
    return None if id_ in catalogue.industry_ids() else "not_in_dictionary"


def _locale(id_: str) -> str | None:
    return None if id_ in LOCALES else "not_in_dictionary"


def _language(id_: str) -> str | None:
    known = {row["id"] for row in catalogue.languages()}
    return None if id_ in known else "not_in_dictionary"


def _currency(code: str) -> str | None:
    return None if code in catalogue.rates() else "not_in_dictionary"


# By the path of the field, without the numbers of list entries.
RULES: dict[str, Rule] = {
    "access/type": _access,
    "area": _leaf,
    "business_trip_readiness": partial(_dictionary, "business_trip_readiness"),
    "citizenship": _country,
    "contact/type": partial(_dictionary, "preferred_contact_type"),
    "driver_license_types": partial(_dictionary, "driver_license_types"),
    "education/level": partial(_dictionary, "education_level"),
    "employment": partial(_dictionary, "employment"),
    "employments": partial(_dictionary, "employment"),
    "experience/area": _any_area,
    "experience/industries": _industry,
    "gender": partial(_dictionary, "gender"),
    "hidden_fields": partial(_dictionary, "resume_hidden_fields"),
    "language/level": partial(_dictionary, "language_level"),
    "professional_roles": _role,
    "relocation/area": _any_area,
    "relocation/type": partial(_dictionary, "relocation_type"),
    "resume_locale": _locale,
    "schedule": partial(_dictionary, "schedule"),
    "schedules": partial(_dictionary, "schedule"),
    "site/type": partial(_dictionary, "resume_contacts_site_type"),
    "travel_time": partial(_dictionary, "travel_time"),
    "work_ticket": _country,
}
PLAIN: dict[str, Rule] = {"language/id": _language, "salary/currency": _currency}


def find_error(name: str, value: Any) -> tuple[str, str] | None:
    """Return ``(pointer below the field, reason)`` for a wrong reference in the field *name*."""
    if name in PLAIN:
        reason = PLAIN[name](value) if isinstance(value, str) else "invalid"
        return None if reason is None else ("", reason)
    rule = RULES.get(name)
    if rule is None:
        return None
    if not isinstance(value, dict):
        return "", "invalid"
    id_ = value.get("id")
    if id_ is None:
        return "/id", "required"
    reason = rule(id_) if isinstance(id_, str) else "invalid"
    return None if reason is None else ("/id", reason)
