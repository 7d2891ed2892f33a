"""What a link leads to: a vacancy of hh.ru, or a search.

People paste what their browser, an application or a message shows: addresses of hh.ru's sites and
of its API (:mod:`ullgetthejob.hh.addresses`), with the parameters of the way by which they came,
and redirects of its advertisements that name the vacancy. Only the text is read: no address is
opened, so that a link leads nowhere else than to hh.ru's API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from ullgetthejob.hh import addresses
from ullgetthejob.saved_searches import url_import
from ullgetthejob.saved_searches.url_import import InvalidSearchUrl

if TYPE_CHECKING:
    from ullgetthejob.hh.search_parameters import SearchParameters

MAX_PARAMETERS = 100
MAX_REDIRECTS = 3  # an address inside of the parameters of another, and so on
VACANCY_ID = r"[1-9][0-9]{0,18}"
# /vacancy/1 of the site, /vacancies/1 of the API, /applicant/vacancy_response?vacancyId=1.
VACANCY_PATHS = re.compile(rf"/(?:vacancy|vacancies)/({VACANCY_ID})", re.ASCII)
RESPONSE_PATHS = ("/applicant/vacancy_response", "/applicant/vacancy_response/popup")
# Of an advertisement's redirect: hh.ru/click?..., adsrv.hh.ru/click?...
CLICK_PATHS = ("/click", "/analytics")
ID_PARAMETERS = ("vacancyId", "vacancy_id", "vacancyid")
ADDRESS_PARAMETERS = ("meta", "url", "redirect", "to", "goto", "backurl", "backUrl")
BARE_ID = re.compile(rf"{VACANCY_ID}", re.ASCII)
NOT_HH = "not_hh"
NO_VACANCY = "no_vacancy"


class InvalidLink(ValueError):
    """The link leads to no vacancy or search. *reason*: ``not_hh``, ``no_vacancy``, or
    ``invalid_search``, with a message for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class VacancyLink:
    """A link to the vacancy of hh.ru's id."""

    vacancy_id: str


@dataclass(frozen=True)
class SearchLink:
    """A link to a search."""

    parameters: SearchParameters


def parse(text: str) -> VacancyLink | SearchLink:
    """Return what the link in *text* leads to; hh.ru's id of a vacancy is one too. Raises
    :class:`InvalidLink`."""
    address = text.strip()
    if BARE_ID.fullmatch(address):
        return VacancyLink(address)
    return _parse(address, MAX_REDIRECTS)


def _parse(address: str, redirects: int) -> VacancyLink | SearchLink:
    found = _parse_address(address)
    vacancy = VACANCY_PATHS.fullmatch(found.path)
    if vacancy is not None:
        return VacancyLink(vacancy[1])
    if found.path in url_import.PATHS.values():
        try:
            return SearchLink(url_import.read(found))
        except InvalidSearchUrl as error:
            raise InvalidLink("invalid_search", str(error)) from None
    parameters = _parameters(found.query)
    if found.path in (*RESPONSE_PATHS, *CLICK_PATHS):
        for name in ID_PARAMETERS:
            if BARE_ID.fullmatch(parameters.get(name, "")):
                return VacancyLink(parameters[name])
    if found.path in CLICK_PATHS and redirects > 0:
        for name in ADDRESS_PARAMETERS:
            inner = parameters.get(name, "")
            inner = unquote(inner) if "%2F" in inner.upper() else inner
            if "/vacanc" in inner:
                return _parse(inner, redirects - 1)
    raise InvalidLink(NO_VACANCY, "the address is of neither a vacancy nor a search")


def _parse_address(text: str) -> addresses.Address:
    try:
        return addresses.parse(text)
    except addresses.AddressTooLong as error:
        raise InvalidLink(NO_VACANCY, str(error)) from None
    except addresses.InvalidAddress:
        raise InvalidLink(
            NOT_HH, "must be an address on hh.ru: https://hh.ru/vacancy/123456789"
        ) from None


def _parameters(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, max_num_fields=MAX_PARAMETERS, errors="replace"))
    except ValueError:
        raise InvalidLink(
            NO_VACANCY, f"the address has more than {MAX_PARAMETERS} parameters"
        ) from None
