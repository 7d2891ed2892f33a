"""The start of a login at hh.ru: the address of the login page, and the ``state`` in it.

Login CSRF (RFC 6749, §10.12): a code that an attacker slips into another session's callback would
connect the attacker's account. A session that asked for a state of its own (``?session_id=``) is
bound: it needs such a state at every callback, for a month, and PKCE ties the code to it. A
callback without a state, or with one of no session, is what the BFF sends: there the BFF itself has
to check the state. It connects a session that has no account, or reconnects its own; it never moves
a connected session to another account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from ullgetthejob.accounts.login_refusals import STATES_REFUSED, refusal
from ullgetthejob.hh import oauth
from ullgetthejob.platform import one_time_tokens, postgres, secrets, settings
from ullgetthejob.platform.errors import Forbidden, Unavailable
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.platform.authentication import Caller
    from ullgetthejob.platform.postgres import Connection

STATE = "oauth-state"
STATE_LIFETIME = timedelta(minutes=10)
BINDING_RETENTION = timedelta(days=30)

UPSERT_STATE_BINDING = """
    INSERT INTO state_bound_sessions (user_id, asked_at) VALUES (%(user_id)s, %(now)s)
    ON CONFLICT (user_id) DO UPDATE SET asked_at = excluded.asked_at
"""
SELECT_STATE_BINDING = (
    "SELECT FROM state_bound_sessions WHERE user_id = %(user_id)s AND asked_at > %(since)s"
)
DELETE_OLD_STATE_BINDINGS = "DELETE FROM state_bound_sessions WHERE asked_at < %(before)s"


class RedirectQuery(Model):
    """*pkce* for callers that bring the state back; *session_id* binds the state to a session: it
    has to bring one back from then on, and *pkce* is implied."""

    pkce: Literal["S256"] | None = None
    session_id: UUID | None = None


class Redirect(Model):
    """The address to which the browser is sent, and the state in it."""

    url: str
    state: str


@dataclass(frozen=True)
class CheckedState:
    """What a callback's state allows. *verifier*: PKCE's, if the login was started with one.
    *is_bound*: whether the state belongs to the callback's session, which may then move to another
    account."""

    verifier: str | None = field(default=None, repr=False)
    is_bound: bool = False


def start_login(query: RedirectQuery, *, caller: Caller, now: datetime) -> Redirect:
    """Return the address of hh.ru's login page, with a state that is valid once within ten minutes.

    A session that is named is bound: from now on it needs a state of its own. Raises
    :class:`Forbidden` for another session than that of the caller's token, :class:`Unavailable`.
    """
    content, challenge = {}, None
    if query.session_id is not None:
        require_own_session(caller, query.session_id)
        content["session_id"] = str(query.session_id)
        with postgres.session() as connection:
            connection.execute(UPSERT_STATE_BINDING, {"user_id": query.session_id, "now": now})
    if query.pkce is not None or query.session_id is not None:
        content["verifier"] = oauth.new_verifier()
        challenge = oauth.challenge_of(content["verifier"])
    client_id, _ = read_client_credentials()
    state = one_time_tokens.issue(STATE, content, life=STATE_LIFETIME, now=now)
    url = oauth.authorize_url(
        settings.HH_OAUTH_URL(),
        client_id=client_id,
        redirect_uri=settings.HH_REDIRECT_URI(),
        state=state,
        challenge=challenge,
    )
    return Redirect(url=url, state=state)


def check_state(
    state: str | None,
    session_id: UUID | None,
    *,
    used_by: str,
    connection: Connection,
    now: datetime,
) -> CheckedState:
    """Consume a callback's *state* and return what it allows; only *used_by* can consume it again.

    Without a state there is nothing to check, unless the session is bound. Raises
    :class:`LoginRefused` (``state_required``, ``invalid_state``), :class:`Unavailable`.
    """
    if state is None:
        if _is_bound(session_id, connection, now):
            raise refusal("state_required")
        return CheckedState()
    try:
        content = one_time_tokens.consume(STATE, state, by=used_by, now=now)
    except one_time_tokens.InvalidToken as error:
        raise refusal("invalid_state", STATES_REFUSED[error.reason]) from None
    owner = content.get("session_id")
    if owner is None and _is_bound(session_id, connection, now):
        # An attacker, too, can get a state of no session.
        raise refusal("state_required")
    if owner is not None and owner != str(session_id):
        raise refusal("invalid_state", STATES_REFUSED["foreign"])
    return CheckedState(content.get("verifier"), is_bound=owner is not None)


def delete_old_bindings(*, connection: Connection, now: datetime) -> None:
    """Delete the bindings that no longer count."""
    connection.execute(DELETE_OLD_STATE_BINDINGS, {"before": now - BINDING_RETENTION})


def require_own_session(caller: Caller, session_id: UUID | None) -> None:
    """Raise :class:`Forbidden` if a token was sent beside the secret, and it is of another session
    or the login is of none."""
    if caller.user_id not in (None, session_id):
        raise Forbidden("the token is of another user", code="user_mismatch")


def read_client_credentials() -> tuple[str, str]:
    """Return the id and secret of Core's application at hh.ru. Raises :class:`Unavailable`
    (``hh_misconfigured``) when they are not set."""
    client_id, client_secret = (
        secrets.read(settings.HH_CLIENT_ID),
        secrets.read(settings.HH_CLIENT_SECRET),
    )
    if not client_id or not client_secret:
        raise Unavailable(
            "logging in is not set up: the operator has to set HH_CLIENT_ID and HH_CLIENT_SECRET",
            retry_after_s=300,
            code="hh_misconfigured",
        )
    return client_id, client_secret


def _is_bound(session_id: UUID | None, connection: Connection, now: datetime) -> bool:
    """Return whether the session has asked for a state of its own."""
    values = {"user_id": session_id, "since": now - BINDING_RETENTION}
    return connection.execute(SELECT_STATE_BINDING, values).fetchone() is not None
