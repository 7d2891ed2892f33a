"""Import of a search from its URL on hh.ru's site, as a person copies it.

hh.ru's site names most filters as its API does. Parameters of the page's look, or of the way by
which the person came, are on a list and left out. Any other unknown parameter is refused by its
name: without a filter that is not understood the search would be wider than the one pasted.

The site's URLs are not documented; the names here are those seen in published URLs. A search
without ``area`` finds vacancies everywhere, also on a city's site, to which hh.ru sends a visitor
by IP address. What a country's site does then is not known, so there a region must be chosen.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from pydantic import ValidationError

from ullgetthejob.hh import addresses
from ullgetthejob.hh.search_parameters import SearchParameters

MAX_PARAMETERS = 400
PATHS = {True: "/vacancies", False: "/search/vacancy"}  # of the API, of the site

# The page's look, the way by which the person came, and additions that the API may be asked for.
IGNORED = frozenset(
    {
        *("page", "per_page", "items_on_page", "enable_snippets", "customDomain", "locale", "host"),
        *("clusters", "ored_clusters", "showClusters", "is_part_time_clusters_enabled"),
        *("L_save_area", "L_is_autosearch", "forceFiltersSaving", "disableBrowserCache"),
        *("from", "fromSearch", "fromSearchLine", "suggestId", "search_session_id"),
        *("hhtmFrom", "hhtmFromLabel", "hhtmSource", "hhtmSourceLabel"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
        *("gclid", "yclid", "ysclid", "fbclid", "_openstat"),
        *("describe_arguments", "responses_count_enabled"),
    }
)
RENAMED = {"search_period": "period", "currency_code": "currency"}
KNOWN = frozenset(SearchParameters.model_fields) - IGNORED
# The values that the site writes where nothing is chosen.
UNSET_VALUES = {"experience": "doesNotMatter", "period": "0", "salary": "0"}
POINT = ("sort_point_lat", "sort_point_lng")


class InvalidSearchUrl(ValueError):
    """The address is not one of a search, or has a filter that cannot be saved; the message says
    which."""


def parse(text: str) -> SearchParameters:
    """Return the parameters of the search at the address in *text*. Raises
    :class:`InvalidSearchUrl`."""
    try:
        address = addresses.parse(text.strip())
    except addresses.AddressTooLong as error:
        raise InvalidSearchUrl(str(error)) from None
    except addresses.InvalidAddress:
        raise _invalid_url() from None
    return read(address)


def read(address: addresses.Address) -> SearchParameters:
    """Return the parameters of the search at *address*. Raises :class:`InvalidSearchUrl`."""
    _require_search(address)
    chosen: dict[str, list[str]] = {}
    for sent, value in _pairs(address.query):
        name = RENAMED.get(sent, sent)
        if sent in IGNORED:
            continue
        if name not in KNOWN:
            raise InvalidSearchUrl(
                f"the address has the parameter {sent[:40]!r}, which a saved search cannot have; "
                "remove that filter on the site and copy the address again"
            )
        if value and value != UNSET_VALUES.get(name):
            chosen.setdefault(name, []).append(value)
    if address.is_country and "area" not in chosen:
        raise InvalidSearchUrl(
            "the address names no region; choose one on the site and copy it again"
        )
    return _parameters(chosen)


def _require_search(address: addresses.Address) -> None:
    path = address.path
    if path.startswith(("/vacancy/", "/vacancies/")) and path.rpartition("/")[2].isdecimal():
        raise InvalidSearchUrl("this is the address of one vacancy, not of a search")
    if path != PATHS[address.is_api]:
        raise _invalid_url()


def _invalid_url() -> InvalidSearchUrl:
    return InvalidSearchUrl(
        "must be the address of a search on hh.ru: https://hh.ru/search/vacancy?…"
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise InvalidSearchUrl("the address is not encoded in UTF-8") from None
    except ValueError:
        raise InvalidSearchUrl(f"the address has more than {MAX_PARAMETERS} parameters") from None
    return [(name, value.strip()) for name, value in pairs]


def _parameters(chosen: dict[str, list[str]]) -> SearchParameters:
    if "salary" not in chosen:
        chosen.pop("currency", None)  # the site always names a currency
    if chosen.get("order_by") == ["distance"] and not all(name in chosen for name in POINT):
        del chosen["order_by"]  # only the site knows where the person is
    if chosen.get("order_by") != ["distance"]:
        for name in POINT:
            chosen.pop(name, None)
    distinct = {name: list(dict.fromkeys(values)) for name, values in chosen.items()}
    parameters = {name: many if len(many) > 1 else many[0] for name, many in distinct.items()}
    try:
        return SearchParameters.model_validate(parameters)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    name = str(problem["loc"][0]) + ": " if problem["loc"] else ""
    raise InvalidSearchUrl(
        f"the address has a wrong filter: {name}{message[:1].lower()}{message[1:]}"
    )
