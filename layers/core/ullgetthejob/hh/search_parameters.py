"""The parameters of ``GET /vacancies``: types, limits and dependencies between them.

Whether an id or a code exists is checked with hh.ru's own dictionaries
(:mod:`ullgetthejob.hh.dictionaries`). A parameter that hh.ru does not know is refused here: hh.ru
itself ignores it silently, which would widen the search.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from ullgetthejob.platform.models import Model

MAX_DEPTH = 2000
MAX_PER_PAGE = 100


def _as_list(value: Any) -> Any:
    """Return a single value, as the BFF sends it, as a tuple of one."""
    return (value,) if isinstance(value, (str, int, float, bool)) else value


def _like(pattern: str, message: str) -> AfterValidator:
    """Return a validator that the whole text matches *pattern*, with *message* as its error."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.DOTALL):
            raise ValueError(message)
        return value

    return AfterValidator(check)


Words = Annotated[str, _like(r"[^\x00]*", "must not contain the character NUL")]
Code = Annotated[str, _like(r"[A-Za-z0-9_]{1,40}", "must be a code of hh.ru's; several are a list")]
Id = Annotated[
    str, _like(r"[0-9]{1,12}(\.[0-9]{1,6})?", "must be an id of hh.ru's; several are a list")
]
Codes = Annotated[tuple[Code, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=50)]
Ids = Annotated[tuple[Id, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=200)]
Moment = Annotated[str, StringConstraints(min_length=10, max_length=32)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]

# hh.ru, 1.54.0: employment, schedule and only_with_salary are deprecated. What their values mean
# by the current names; a value that is not here has no equal there, and is sent as it is.
# Rotational work had the employment "full": only its schedule distinguished it.
EMPLOYMENT_FORMS = {
    "full": ("FULL", "FLY_IN_FLY_OUT"),
    "part": ("PART",),
    "project": ("PROJECT",),
}
WORK_FORMATS = {"remote": ("REMOTE",)}
WITH_SALARY = "with_salary"
# The edges of the map box, by the names that Core once took for them: hh.ru ignores those.
FORMER_EDGES = {
    "bottom_left_lat": "bottom_lat",
    "bottom_left_lng": "left_lng",
    "top_right_lat": "top_lat",
    "top_right_lng": "right_lng",
}


class SearchParameters(Model):
    """A search on hh.ru. A repeatable parameter takes one value or a list of values.

    ``no_magic`` is on by default: without it hh.ru turns words of ``text`` into its own filters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Words = Field("", max_length=2000, description="hh.ru's query language")
    search_field: Codes | None = None
    excluded_text: Words | None = Field(None, min_length=1, max_length=1000)
    experience: Codes | None = None
    employment: Codes | None = Field(
        None, json_schema_extra={"deprecated": True}, description="is sent as employment_form"
    )
    employment_form: Codes | None = None
    schedule: Codes | None = Field(
        None,
        json_schema_extra={"deprecated": True},
        description="remote is sent as work_format=REMOTE",
    )
    work_format: Codes | None = None
    work_schedule_by_days: Codes | None = None
    working_hours: Codes | None = None
    education: (
        Annotated[
            tuple[Literal["not_required_or_not_specified", "special_secondary", "higher"], ...],
            BeforeValidator(_as_list),
            Field(min_length=1),
        ]
        | None
    ) = None
    area: Ids | None = None
    metro: Ids | None = None
    professional_role: Ids | None = None
    industry: Ids | None = None
    employer_id: Ids | None = None
    excluded_employer_id: Ids | None = None
    salary: int | None = Field(None, ge=1, le=1_000_000_000)
    currency: Code | None = None
    only_with_salary: bool | None = Field(
        None, json_schema_extra={"deprecated": True}, description="is sent as label=with_salary"
    )
    salary_mode: Annotated[Codes, Field(max_length=1)] | None = None
    salary_frequency: Codes | None = None
    driver_license_types: Codes | None = None
    label: Codes | None = None
    part_time: Codes | None = None
    accept_temporary: bool | None = None
    premium: bool | None = None
    period: int | None = Field(None, ge=1, le=31, description="days back from now")
    date_from: Moment | None = None
    date_to: Moment | None = None
    order_by: Code | None = None
    sort_point_lat: Latitude | None = None
    sort_point_lng: Longitude | None = None
    bottom_lat: Latitude | None = None
    left_lng: Longitude | None = None
    top_lat: Latitude | None = None
    right_lng: Longitude | None = None
    no_magic: bool = True
    page: int = Field(0, ge=0, lt=MAX_DEPTH)
    per_page: int = Field(MAX_PER_PAGE, ge=1, le=MAX_PER_PAGE)

    @model_validator(mode="after")
    def _check_dependencies(self) -> SearchParameters:
        if (self.page + 1) * self.per_page > MAX_DEPTH:
            raise ValueError(f"page: hh.ru shows no more than {MAX_DEPTH} vacancies of a search")
        if self.period is not None and (self.date_from or self.date_to):
            raise ValueError("period: cannot be combined with date_from or date_to")
        if self.date_to and not self.date_from:
            raise ValueError("date_to: needs date_from")
        moments = [_moment(name, getattr(self, name)) for name in ("date_from", "date_to")]
        if moments[0] and moments[1] and moments[0].date() > moments[1].date():
            raise ValueError("date_to: lies before date_from")
        if self.currency and self.salary is None:
            raise ValueError("currency: means nothing without salary")
        point = (self.sort_point_lat, self.sort_point_lng)
        if (self.order_by == "distance") != (None not in point):
            raise ValueError(
                "order_by: distance, sort_point_lat and sort_point_lng need each other"
            )
        box = (self.bottom_lat, self.left_lng, self.top_lat, self.right_lng)
        if any(edge is not None for edge in box) and None in box:
            raise ValueError("bottom_lat: all four edges of the box are needed")
        return self

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> SearchParameters:
        """Return the search that was stored, perhaps by a version that accepted more.

        Several values of ``salary_mode`` become none: hh.ru takes one, and a search that is too
        wide misses nothing.
        """
        known = {FORMER_EDGES.get(name, name): value for name, value in stored.items()}
        if isinstance(known.get("salary_mode"), list) and len(known["salary_mode"]) > 1:
            del known["salary_mode"]
        return cls.model_validate(known)

    def excludes(self, employer_id: str | None) -> bool:
        """Return whether the search leaves out this employer's vacancies. Callers check it for each
        vacancy found: hh.ru's documents of 1.54.0 (2026) name ``excluded_employer_id`` for similar
        vacancies alone, and hh.ru ignores parameters that it does not know."""
        return employer_id is not None and employer_id in (self.excluded_employer_id or ())

    def query(self) -> list[tuple[str, str]]:
        """Return the query of ``GET /vacancies``: lists as repeated keys, lower-case booleans,
        deprecated filters by today's names."""
        pairs: list[tuple[str, str]] = []
        for name, value in _translate(dict(self)).items():
            if value is None or value == "":
                continue
            for item in value if isinstance(value, tuple) else (value,):
                pairs.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
        return pairs


def _translate(filters: dict[str, Any]) -> dict[str, Any]:
    """Return *filters* with deprecated ones by today's names, where that finds the same.

    Values of a parameter are alternatives, parameters are not: an older one is left as it is if one
    of its values has no equal, or if the newer parameter is used too.
    """
    translated = dict(filters)
    for old, new, equals in (
        ("employment", "employment_form", EMPLOYMENT_FORMS),
        ("schedule", "work_format", WORK_FORMATS),
    ):
        values = filters[old]
        if values and filters[new] is None and all(value in equals for value in values):
            translated[old] = None
            translated[new] = tuple(
                dict.fromkeys(code for value in values for code in equals[value])
            )
    if filters["only_with_salary"] is not None:
        translated["only_with_salary"] = None
    if filters["only_with_salary"]:
        translated["label"] = tuple(dict.fromkeys((*(filters["label"] or ()), WITH_SALARY)))
    return translated


def _moment(name: str, value: str | None) -> datetime | None:
    """Return the moment of ``YYYY-MM-DD`` or of a full ISO 8601 text (hh.ru rounds it to five
    minutes). Raises ``ValueError``, which names the parameter."""
    if value is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(value), datetime.min.time())
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise ValueError(f"{name}: must be YYYY-MM-DD or an ISO 8601 moment") from None
