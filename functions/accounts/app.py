"""Core's access to hh.ru for an account, its status and its pause; the person's data."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import account_status, people
from ullgetthejob.accounts.account_status import AccountAnswer, Status
from ullgetthejob.accounts.people import Person
from ullgetthejob.autopilot import pause
from ullgetthejob.autopilot.models import PauseBody, Paused, ResumeBody
from ullgetthejob.personal_data.models import DeletionAccepted, ExportQuery
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.files import File
from ullgetthejob.platform.http import USER, USER_OR_SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.SUBMIT_BUCKET,
    settings.CONNECTION_TABLE,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context)


@api.get("/api/hh/status", auth=USER)
def show_status(person: Person, context: Context) -> Status:
    """Return whether the person is connected to hh.ru, as far as Core knows."""
    return account_status.show_status(person, context)


@api.get("/api/accounts/{user_id}", auth=USER_OR_SERVICE)
def show_account(person: Person, context: Context) -> AccountAnswer:
    """Return a user's account, Core's access to hh.ru, and what the person should do next."""
    return account_status.show_account(person, context)


@api.post("/api/accounts/{user_id}/pause", auth=USER_OR_SERVICE)
def pause_sending(body: PauseBody, person: Person, context: Context) -> Paused:
    """Pause the autopilots of the account's saved searches, or all of its campaigns."""
    return pause.pause(body, person, context)


@api.post("/api/accounts/{user_id}/resume", auth=USER_OR_SERVICE)
def resume(body: ResumeBody, person: Person, context: Context) -> AccountAnswer:
    """Resume the access after the person has solved hh.ru's captcha, and what was paused."""
    return pause.resume(body, person, context)


@api.get("/api/accounts/{user_id}/export", auth=USER_OR_SERVICE)
def export_account(query: ExportQuery, optional_user: Person, context: Context) -> File:
    """Return all that Core has of the person, as a ZIP archive with files of JSON lines; where the
    header Link (rel="next") comes with it, a part of that."""
    from ullgetthejob.personal_data import export  # imports TLS, which the routes above do without

    return export.export(query, optional_user, context)


@api.delete("/api/accounts/{user_id}", auth=USER_OR_SERVICE, answers=(202,))
def delete_account(optional_user: Person, context: Context) -> Response[DeletionAccepted]:
    """Delete the person, for all sessions: sessions end at once, the rest follows by itself."""
    from ullgetthejob.personal_data import deletion_request

    return Response(202, deletion_request.request_deletion(optional_user, context))


handler = api.handler
