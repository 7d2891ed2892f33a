"""GET /api/accounts/{user_id} and POST …/resume: Core's access to hh.ru for an account."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import account_status, people
from ullgetthejob.accounts.account_status import AccountAnswer
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api

settings.require(*settings.SERVICE_CALLS, settings.BROADCASTER_QUEUE_URL)

api = Api(people, bootstrap.open_context)


@api.get("/api/accounts/{user_id}", auth=USER_OR_SERVICE)
def show_account(person: Person, context: Context) -> AccountAnswer:
    """Return a user's account, Core's access to hh.ru, and what the person should do next."""
    return account_status.show_account(person, context)


@api.post("/api/accounts/{user_id}/resume", auth=USER_OR_SERVICE)
def resume_access(person: Person, context: Context) -> AccountAnswer:
    """Resume the access after the person has solved hh.ru's captcha."""
    return account_status.resume_access(person, context)


handler = api.handler
