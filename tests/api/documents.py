"""docs/openapi.json, with the ids that exist among the values that a generator may choose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')
# What the parameter ``id`` of a path identifies.
IDENTIFIED = {
    "/api/applications/": "application",
    "/api/schedules/": "schedule",
    "/api/jobs/": "job_external_id",
    "/api/hh/resumes/": "hh_resume_id",
    "/api/letters/templates/": "template_id",
    "/api/notifications/channels/": "channel",
    "/api/reviews/": "application",
}
# Values that hh.ru knows, of fields of a search that the document describes as texts.
OF_HH = {
    "area": ["1", "2", "113"],
    "currency": ["RUR", "USD"],
    "date_from": ["2026-01-01"],
    "date_to": ["2030-01-01"],
    "driver_license_types": ["A", "B"],
    "employer_id": ["1455", "3529"],
    "employment": ["full", "part"],
    "employment_form": ["FULL", "PART"],
    "excluded_employer_id": ["1455", "3529"],
    "experience": ["noExperience", "between1And3"],
    "industry": ["7", "7.540"],
    "label": ["with_salary", "accredited_it"],
    "metro": ["1", "2.3"],
    "order_by": ["relevance", "publication_time"],
    "part_time": ["from_four_to_six_hours_in_a_day"],
    "professional_role": ["96", "10"],
    "salary_frequency": ["MONTHLY"],
    "salary_mode": ["MONTH"],
    "schedule": ["fullDay", "remote"],
    "search_field": ["name", "description"],
    "work_format": ["REMOTE", "HYBRID"],
    "work_schedule_by_days": ["FIVE_ON_TWO_OFF"],
    "working_hours": ["HOURS_8"],
}
# Schemas of bodies that answers have as well, with no other values than were sent.
ALSO_ANSWERED = {"Schedule"}
OF_CORE = {
    "act": ["pause", "resume", "cancel"],
    "time_zone": ["Europe/Moscow", "Asia/Tokyo"],
}


def with_known_values(known: dict[str, list[str]]) -> dict[str, Any]:
    """Return the document, whose valid requests name what exists; the invalid ones are generated
    from it as well. *known*: ids by the name of the field, or of what they identify."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    values = {**OF_CORE, **known}
    for path, operations in document["paths"].items():
        identified = next(
            (name for start, name in IDENTIFIED.items() if path.startswith(start)), ""
        )
        names = {"id": identified, "session_id": "user_id"}
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                name = names.get(parameter["name"], parameter["name"])
                parameter["schema"] = _only_known(parameter["schema"], values.get(name, []))
                parameter["required"] = parameter["required"] or name == "user_id"
    for name in _bodies(document) | ALSO_ANSWERED:
        schema = document["components"]["schemas"][name]
        allowed = OF_HH if name == "SearchParameters" else values
        for field, value in schema["properties"].items():
            schema["properties"][field] = _only_known(value, allowed.get(field, []))
        if "user_id" in schema["properties"]:
            schema["required"] = sorted({*schema.get("required", []), "user_id"})
    return document


def _bodies(document: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that only requests have."""
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    schemas = document["components"]["schemas"]
    bodies = _named_in([each.get("requestBody") for each in operations], schemas)
    return bodies - _named_in([each["responses"] for each in operations], schemas)


def _named_in(content: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that *content* refers to, directly or not."""
    names: set[str] = set()
    waiting = [content]
    while waiting:
        for name in set(REFERENCE.findall(json.dumps(waiting.pop()))) - names:
            names.add(name)
            waiting.append(schemas[name])
    return names


def _only_known(schema: dict[str, Any], values: list[str]) -> dict[str, Any]:
    """Return *schema* with *values* as its only texts, in a list too if it is one."""
    if not values:
        return schema
    items = next(
        (variant["items"] for variant in [schema, *schema.get("anyOf", [])] if "items" in variant),
        None,
    )
    if items is None:
        return {"type": "string", "enum": values}
    return {"type": "array", "items": {"enum": values}, "minItems": 1, "maxItems": 1}
