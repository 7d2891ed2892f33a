"""The sandbox's application: its routes, who may call them, and the middleware of every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import control, wire
from local.sandbox.dictionaries import reference_routes
from local.sandbox.negotiations import negotiation_control, negotiation_routes
from local.sandbox.oauth import authorize, tokens
from local.sandbox.oauth.tokens import Access
from local.sandbox.people import me, people_control
from local.sandbox.resumes import resume_routes, resume_writes
from local.sandbox.state import SANDBOX, Sandbox, Settings
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GETS: tuple[tuple[str, Access, Handler], ...] = (
    ("/me", Access.APPLICATION, me.show),
    ("/resumes/mine", Access.APPLICANT, resume_routes.mine),
    ("/resumes/creation_availability", Access.APPLICANT, resume_routes.creation_availability),
    ("/resumes/{resume_id}", Access.APPLICANT, resume_routes.show),
    ("/negotiations", Access.APPLICANT, negotiation_routes.mine),
    ("/negotiations/{negotiation_id}", Access.APPLICANT, negotiation_routes.show),
    ("/negotiations/{negotiation_id}/messages", Access.APPLICANT, negotiation_routes.messages),
    ("/vacancies", Access.APPLICATION, vacancy_routes.find),
    ("/vacancies/{vacancy_id}", Access.APPLICATION, vacancy_routes.show),
    *((path, Access.ANYONE, reference_routes.dictionary) for path in reference_routes.PATHS),
)

WRITES: tuple[tuple[str, str, Handler], ...] = (  # all of them for applicants
    ("POST", "/resumes", resume_writes.create),
    ("PUT", "/resumes/{resume_id}", resume_writes.edit),
    ("DELETE", "/resumes/{resume_id}", resume_writes.delete),
    ("POST", "/resumes/{resume_id}/publish", resume_writes.publish),
    ("POST", "/negotiations/{negotiation_id}/messages", negotiation_routes.write),
)


def create_app(settings: Settings) -> web.Application:
    """Return the application, with its state in ``settings.data_dir`` already open."""
    app = web.Application(middlewares=[wire.middleware])
    app[SANDBOX] = sandbox = Sandbox(settings)
    for path, access, handler in GETS:
        app.router.add_get(path, tokens.require(access, handler))
    for method, path, handler in WRITES:
        app.router.add_route(method, path, tokens.require(Access.APPLICANT, handler))
    # Checks the token itself: calls without one are logged too.
    app.router.add_post("/negotiations", negotiation_routes.apply)
    app.router.add_get(authorize.PATH, authorize.show_page)
    app.router.add_post(authorize.PATH, authorize.decide)
    for path in ("/token", "/oauth/token"):
        app.router.add_post(path, tokens.issue)
        app.router.add_delete(path, tokens.revoke)
    for method, path, handler in (
        *control.ROUTES,
        *people_control.ROUTES,
        *negotiation_control.ROUTES,
    ):
        app.router.add_route(method, path, handler)

    async def close_store(_app: web.Application) -> None:
        sandbox.store.close()

    app.on_cleanup.append(close_store)
    return app
