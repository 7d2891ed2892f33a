"""The sandbox's application: its routes, who may call them, and the middleware of every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from local.sandbox import control, wire
from local.sandbox.dictionaries import reference_routes
from local.sandbox.eras import methods
from local.sandbox.negotiations import negotiation_control, negotiation_routes
from local.sandbox.oauth import authorize, tokens
from local.sandbox.people import me, people_control
from local.sandbox.resumes import resume_routes, resume_writes
from local.sandbox.state import SANDBOX, Sandbox, Settings
from local.sandbox.vacancies import vacancy_routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# By the names of data/methods.toml, which says who may call them.
HANDLERS: dict[str, Handler] = {
    "GET /me": me.show,
    "GET /resumes/mine": resume_routes.mine,
    "GET /resumes/creation_availability": resume_routes.creation_availability,
    "GET /resumes/{resume_id}": resume_routes.show,
    "POST /resumes": resume_writes.create,
    "PUT /resumes/{resume_id}": resume_writes.edit,
    "DELETE /resumes/{resume_id}": resume_writes.delete,
    "POST /resumes/{resume_id}/publish": resume_writes.publish,
    "GET /negotiations": negotiation_routes.mine,
    "GET /negotiations/{negotiation_id}": negotiation_routes.show,
    "GET /negotiations/{negotiation_id}/messages": negotiation_routes.messages,
    "POST /negotiations/{negotiation_id}/messages": negotiation_routes.write,
    "GET /vacancies": vacancy_routes.find,
    "GET /vacancies/{vacancy_id}": vacancy_routes.show,
    **{f"GET {path}": reference_routes.dictionary for path in reference_routes.PATHS},
}
# These check the caller themselves: calls to apply without a valid token are logged too.
UNCHECKED: dict[str, Handler] = {
    "POST /negotiations": negotiation_routes.apply,
    "POST /token": tokens.issue,
    "POST /oauth/token": tokens.issue,
    "DELETE /token": tokens.revoke,
    "DELETE /oauth/token": tokens.revoke,
}


def create_app(settings: Settings) -> web.Application:
    """Return the application, with its state in ``settings.data_dir`` already open."""
    app = web.Application(middlewares=[wire.middleware])
    app[SANDBOX] = sandbox = Sandbox(settings)
    for name, method in methods().items():
        handler = UNCHECKED.get(name) or tokens.require(method, HANDLERS[name])
        if method.verb == "GET":
            app.router.add_get(method.path, handler)  # HEAD too
        else:
            app.router.add_route(method.verb, method.path, handler)
    app.router.add_get(authorize.PATH, authorize.show_page)
    app.router.add_post(authorize.PATH, authorize.decide)
    for verb, path, handler in (
        *control.ROUTES,
        *people_control.ROUTES,
        *negotiation_control.ROUTES,
    ):
        app.router.add_route(verb, path, handler)

    async def close_store(_app: web.Application) -> None:
        sandbox.store.close()

    app.on_cleanup.append(close_store)
    return app
