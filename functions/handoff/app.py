"""/handoff: the page on which a person does themselves what is left to them; links to it."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.handoff import links, page, rendering
from ullgetthejob.handoff.links import HandoffLink
from ullgetthejob.platform import clock, settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import ANYONE, USER_OR_SERVICE, Api
from ullgetthejob.platform.pages import Page, Request

settings.require(
    *settings.SERVICE_CALLS,
    settings.ONE_TIME_TABLE,
    settings.PUBLIC_URL,
    settings.APP_URL,
    settings.HH_REDIRECT_URI,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

REFUSES = (400, 413, 422, 503)  # by a page that says so

api = Api(people, bootstrap.open_context, page.error_page)


@api.post("/api/accounts/{user_id}/handoff-link", auth=USER_OR_SERVICE)
def issue_handoff_link(person: Person, request: Request, context: Context) -> HandoffLink:
    """Return a new link to the handoff page for the person, which opens once, within an hour."""
    return links.issue(person, request, context)


@api.get("/handoff/page.js", auth=ANYONE)
def show_handoff_script() -> Page:
    """Return the script that copies letters."""
    return rendering.script()


@api.get("/handoff/{ticket}", auth=ANYONE, answers=(200, 303, 410), refuses=REFUSES)
def show_handoff_link(ticket: str, request: Request) -> Page:
    """Return the page of a link, whose button opens it; looking at it consumes nothing."""
    return page.show_link(ticket, request, now=clock.now())


@api.post("/handoff/{ticket}", auth=ANYONE, answers=(303, 200, 403, 410), refuses=REFUSES)
def open_handoff_link(ticket: str, request: Request, context: Context) -> Page:
    """Open a link, once (a form); of one that has ended, request a new one for its person."""
    return page.post_link(ticket, request, context)


@api.get("/handoff", auth=ANYONE, answers=(200, 401), refuses=REFUSES)
def show_handoff_page(request: Request, context: Context) -> Page:
    """Return the page with what waits for the person, for the hour of its session."""
    return page.show_page(request, context)


@api.post("/handoff", auth=ANYONE, answers=(303, 200, 401, 403), refuses=REFUSES)
def post_handoff_page(request: Request, context: Context) -> Page:
    """Do what a button of the page says (a form): done, skip, captcha solved, a new link."""
    return page.post_page(request, context)


handler = api.handler
