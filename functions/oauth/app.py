"""/auth/hh/* and DELETE /api/hh/connection: connecting and disconnecting an hh.ru account."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import login, login_state, people
from ullgetthejob.accounts.disconnect import Disconnected, disconnect
from ullgetthejob.accounts.login import CallbackQuery, SessionAnswer
from ullgetthejob.accounts.login_state import Redirect, RedirectQuery
from ullgetthejob.accounts.people import Person
from ullgetthejob.accounts.token_refresh import RefreshBody, TokensAnswer, refresh
from ullgetthejob.platform import clock, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import SERVICE, USER, Api

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_LOGIN,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_OAUTH_URL,
    settings.HH_REDIRECT_URI,
    settings.ONE_TIME_TABLE,
    settings.BROADCASTER_QUEUE_URL,
)

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_LOGIN,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_OAUTH_URL,
    settings.HH_REDIRECT_URI,
    settings.ONE_TIME_TABLE,
    settings.BROADCASTER_QUEUE_URL,
)

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_LOGIN,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_OAUTH_URL,
    settings.HH_REDIRECT_URI,
    settings.ONE_TIME_TABLE,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.get("/auth/hh/redirect", auth=SERVICE, refuses=(403,))
def start_login(query: RedirectQuery, caller: Caller) -> Redirect:
    """Return the URL of hh.ru's login page, and the state in it."""
    return login_state.start_login(query, caller=caller, now=clock.now())


@api.get("/auth/hh/callback", auth=SERVICE, refuses=(403, 409))
def finish_login(query: CallbackQuery, context: Context) -> SessionAnswer | TokensAnswer:
    """Connect the session with hh.ru's authorisation code; without a session, return the tokens."""
    return login.finish_login(query, context)


@api.post("/auth/hh/refresh", auth=SERVICE, refuses=(403,))
def refresh_tokens(body: RefreshBody, context: Context) -> TokensAnswer:
    """Return new tokens for a refresh token; one that Core stores is replaced in the store."""
    return refresh(body, context)


@api.delete("/api/hh/connection", auth=USER)
def end_connection(person: Person, context: Context) -> Disconnected:
    """Disconnect the account, for all of its sessions; the token that was sent is revoked too."""
    return disconnect(person, context)


handler = api.handler
