"""/api/schedules: saved searches, which run on a schedule or on request."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api, Response
from ullgetthejob.saved_searches import commands, matches, models

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.BROADCASTER_QUEUE_URL,
    settings.FETCH_QUEUE_URL,
    settings.PUBLIC_FEED_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.post("/api/schedules", auth=USER_OR_SERVICE, answers=(201, 200))
def save_search(
    body: models.CreateBody, person: Person, context: Context
) -> Response[models.OneSearch]:
    """Save a search (201); the same filters again return the existing one (200)."""
    search, is_new = commands.create_search(body, person, context)
    return Response(201 if is_new else 200, search)


@api.get("/api/schedules", auth=USER_OR_SERVICE)
def show_searches(person: Person, context: Context) -> models.SavedSearches:
    """Return the saved searches of the person's account, the oldest first."""
    return commands.list_searches(person, context)


@api.get("/api/schedules/{id}", auth=USER_OR_SERVICE)
def show_search(id: str, person: Person, context: Context) -> models.OneSearch:
    """Return one saved search, with its next run and its last."""
    return commands.read_search(id, person, context)


@api.get("/api/schedules/{id}/matches", auth=USER_OR_SERVICE)
def show_matches(
    id: str, query: matches.MatchQuery, person: Person, context: Context
) -> matches.Matches:
    """Return what a saved search announced, or what the filters kept from being announced."""
    return commands.show_matches(id, query, person, context)


@api.patch("/api/schedules/{id}", auth=USER_OR_SERVICE)
def edit_search(
    id: str, body: models.ChangeBody, person: Person, context: Context
) -> models.OneSearch:
    """Change the given fields of a saved search; omitted ones stay."""
    return commands.change_search(id, body, person, context)


@api.delete("/api/schedules/{id}", auth=USER_OR_SERVICE)
def forget_search(id: str, person: Person, context: Context) -> models.Deleted:
    """Delete a saved search."""
    return commands.delete_search(id, person, context)


@api.post("/api/schedules/{id}/fetch", auth=USER_OR_SERVICE)
def run_search(id: str, person: Person, context: Context) -> models.Fetched:
    """Run a saved search now, and return the run, which may continue in the background."""
    return commands.run_search(id, person, context)


handler = api.handler
