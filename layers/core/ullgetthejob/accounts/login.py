"""Logging in at hh.ru: the way there, and the way back with an authorization code.

The way back is repeatable, because the BFF sends a callback again after every 5xx while hh.ru takes
a code once. A row of ``hh_logins`` a code says how far it came:

    sent        the code is on its way to hh.ru, or was lost there: it is never sent again
    exchanged   hh.ru gave a pair of tokens, kept encrypted until it is known whose they are
    done        they are the account's; the same session gets the same answer again
    refused     the same refusal again

Login CSRF (RFC 6749, §10.12): a code that an attacker slips into another's callback would connect
the attacker's account. A session that asked for a state of its own (``?session_id=``) needs such a
state at every callback, for a month, and PKCE ties the code to it. A callback without a state, or
with one of no session, is what the BFF sends: there the BFF itself has to check the state. It
connects a session that has no account, or its own again; it never moves a connected session to
another account.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn
from uuid import UUID

from pydantic import BaseModel, Field

from ullgetthejob.accounts import access, audit, history_transfer, session_tokens, token_store
from ullgetthejob.accounts.token_refresh import Tokens, TokensAnswer
from ullgetthejob.hh import oauth
from ullgetthejob.hh.errors import (
    HHError,
    HHForbidden,
    HHLoginRefused,
    HHRefreshRefused,
    HHTokenRefused,
    HHUnavailable,
)
from ullgetthejob.platform import encryption, one_time_tokens, postgres, secrets, settings
from ullgetthejob.platform.errors import (
    AppError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    Unavailable,
)
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.realtime import event_log

if TYPE_CHECKING:
    import psycopg

    from ullgetthejob.hh.client import HHClient
    from ullgetthejob.platform.authentication import Caller

    Connection = psycopg.Connection[dict[str, Any]]

STATE = "oauth-state"
STATE_LIFE = timedelta(minutes=10)
# Longer than any invocation: after that, whoever sent the code is gone.
SENDING_TIMEOUT = timedelta(seconds=30)
LOGIN_RETENTION = timedelta(days=30)

REFUSALS: dict[str, str] = {
    "access_denied": "the person refused at hh.ru",
    "invalid_state": "the state is no good; start the login again",
    "invalid_code": "hh.ru does not take this code (any more); start the login again",
    "login_interrupted": "the login was interrupted at hh.ru; start it again",
    "login_failed": "hh.ru refused the login; start it again, or ask the operator",
    "not_an_applicant": "this is an employer's account at hh.ru; log in as an applicant",
    "hh_closed": "hh.ru keeps accounts of people closed to Core",
    "state_required": "this session began a login with a state of its own; bring that state back",
    "session_of_another_account": "this session is connected to another hh.ru account; disconnect "
    "it, or start a login for this session and bring its state back",
}
STATES_REFUSED: dict[str, str] = {
    "unknown": "the state is unknown; start the login again",
    "used": "the state was used before; start the login again",
    "expired": "the state has expired; start the login again",
    "foreign": "the state belongs to another session; start the login again",
}

INSERT_LOGIN = """
    INSERT INTO hh_logins (code_hash, user_id, state, started_at)
    VALUES (%(code_hash)s, %(user_id)s, 'sent', %(now)s) ON CONFLICT DO NOTHING
"""
DELETE_OLD_LOGINS = "DELETE FROM hh_logins WHERE started_at < %(before)s"
DELETE_OLD_STATE_BINDINGS = "DELETE FROM state_bound_sessions WHERE asked_at < %(before)s"
UPSERT_STATE_BINDING = """
    INSERT INTO state_bound_sessions (user_id, asked_at) VALUES (%(user_id)s, %(now)s)
    ON CONFLICT (user_id) DO UPDATE SET asked_at = excluded.asked_at
"""
SELECT_STATE_BINDING = (
    "SELECT FROM state_bound_sessions WHERE user_id = %(user_id)s AND asked_at > %(since)s"
)
SELECT_LOGIN = """
    SELECT l.user_id, l.state, l.pair, l.account_id, l.refusal, l.started_at, l.finished_at,
           u.account_id IS NOT DISTINCT FROM l.account_id
               AND (u.tokens_valid_from IS NULL OR u.tokens_valid_from <= l.finished_at)
               AS still_holds
    FROM hh_logins l LEFT JOIN users u ON u.id = l.user_id
    WHERE l.code_hash = %(code_hash)s
"""
DELETE_LOGIN_UNSENT = "DELETE FROM hh_logins WHERE code_hash = %(code_hash)s AND state = 'sent'"
UPDATE_LOGIN_EXCHANGED = """
    UPDATE hh_logins SET state = 'exchanged', pair = %(pair)s
    WHERE code_hash = %(code_hash)s AND state = 'sent'
"""
UPDATE_LOGIN_REFUSED = """
    UPDATE hh_logins
    SET state = 'refused', pair = NULL, refusal = %(refusal)s, finished_at = %(now)s
    WHERE code_hash = %(code_hash)s AND state IN ('sent', 'exchanged')
"""
UPDATE_LOGIN_DONE = """
    UPDATE hh_logins
    SET state = 'done', pair = NULL, account_id = %(account_id)s, finished_at = %(since)s
    WHERE code_hash = %(code_hash)s AND state = 'exchanged'
"""
SELECT_ACCOUNT_BY_HH_USER = "SELECT id FROM accounts WHERE hh_user_id = %(hh_user_id)s"
INSERT_ACCOUNT = """
    INSERT INTO accounts (hh_user_id, access_changed_at, created_at)
    VALUES (%(hh_user_id)s, %(now)s, %(now)s) ON CONFLICT DO NOTHING
"""
UPDATE_ACCOUNT_CONNECTED = """
    UPDATE accounts
    SET access_state = 'ok', access_reason = NULL, access_until = NULL, captcha_url = NULL,
        access_tries = 0,
        access_changed_at = %(now)s,
        negotiations_due_at = %(now)s
    WHERE id = %(account_id)s AND NOT (access_state = 'limited_until' AND access_until > %(now)s)
"""
LOCK_USER_ACCOUNT = "SELECT account_id FROM users WHERE id = %(user_id)s FOR UPDATE"
# A session that is new here, or had another account: what was issued to it before ends. One that is
# connected to another account moves only if it may; decided here, so that two at once cannot pass.
UPSERT_USER_ACCOUNT = """
    INSERT INTO users AS u (id, email, password_hash, account_id, tokens_valid_from, inserted_at,
                            updated_at)
    VALUES (%(user_id)s, %(email)s, '!', %(account_id)s, %(after_now)s, %(utc)s, %(utc)s)
    ON CONFLICT (id) DO UPDATE SET
        account_id = excluded.account_id,
        tokens_valid_from = CASE WHEN u.account_id IS DISTINCT FROM excluded.account_id
            THEN greatest(%(now)s, u.tokens_valid_from) + interval '1 microsecond'
            ELSE u.tokens_valid_from END,
        updated_at = excluded.updated_at
    WHERE %(may_move)s OR u.account_id IS NULL OR u.account_id = excluded.account_id OR EXISTS (
        SELECT FROM accounts a
        WHERE a.id = u.account_id AND a.access_reason IN ('disconnected', 'account_not_found')
    )
    RETURNING tokens_valid_from
"""


class LoginRefused(BadRequest):
    """The login came to nothing; the person starts again. *code*: a key of :data:`REFUSALS`."""


class _AccountChangeForbidden(Exception):
    """The session is connected to another account, and nothing proves that its person wants to
    change that."""


class RedirectQuery(BaseModel):
    """*pkce* for callers that bring the state back; *session_id* binds the state to a session: it
    has to bring one back from then on, and *pkce* is implied."""

    pkce: Literal["S256"] | None = None
    session_id: UUID | None = None


class Redirect(BaseModel):
    """Where the browser goes, and the state that is in that address."""

    url: str
    state: str


class CallbackQuery(BaseModel):
    """What hh.ru sent the browser back with, and the session that the browser has at the BFF."""

    code: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    error: Annotated[str, Field(max_length=100)] | None = None
    state: Annotated[str, Field(max_length=512)] | None = None
    session_id: UUID | None = None


class SessionAnswer(BaseModel):
    """The session is connected; *jwt* proves who it is from now on."""

    success: Literal[True] = True
    jwt: str
    session_id: UUID


def start_login(query: RedirectQuery, *, caller: Caller, now: datetime) -> Redirect:
    """The address of hh.ru's login page, with a state that is good once within ten minutes. A
    session that is named is remembered: from now on it needs a state of its own."""
    content, challenge = {}, None
    if query.session_id is not None:
        _require_own_session(caller, query.session_id)
        content["session_id"] = str(query.session_id)
        with postgres.session() as connection:
            connection.execute(UPSERT_STATE_BINDING, {"user_id": query.session_id, "now": now})
    if query.pkce is not None or query.session_id is not None:
        content["verifier"] = oauth.new_verifier()
        challenge = oauth.challenge_of(content["verifier"])
    client_id, _ = _application()
    state = one_time_tokens.issue(STATE, content, life=STATE_LIFE, now=now)
    url = oauth.authorize_url(
        settings.text("HH_OAUTH_URL"),
        client_id=client_id,
        redirect_uri=settings.text("HH_REDIRECT_URI"),
        state=state,
        challenge=challenge,
    )
    return Redirect(url=url, state=state)


def finish_login(
    query: CallbackQuery, *, caller: Caller, hh: HHClient, connection: Connection, now: datetime
) -> SessionAnswer | TokensAnswer:
    """Connect the session (or, without one, hand the tokens out).

    Raises :class:`LoginRefused`, :class:`Conflict` for a code of another session, and
    :class:`Unavailable` where the same call may succeed later.
    """
    _require_own_session(caller, query.session_id)
    if query.code is None and query.error is None:
        raise Invalid.field("code", "must be given")
    attempt = _Attempt(query, caller=caller, hh=hh, connection=connection, now=now)
    try:
        return attempt.run()
    except AppError as error:
        attempt.record(error.code)
        raise


class _Attempt:
    """One callback."""

    def __init__(
        self,
        query: CallbackQuery,
        *,
        caller: Caller,
        hh: HHClient,
        connection: Connection,
        now: datetime,
    ) -> None:
        self._query = query
        self._caller = caller
        self._hh = hh
        self._connection = connection
        self._now = now
        self._account_id: UUID | None = None
        self._may_move = False
        self._code_hash = hashlib.sha256((query.code or "").encode()).digest()
        self._row = {"code_hash": self._code_hash, "user_id": query.session_id, "now": now}

    def record(self, outcome: str) -> None:
        """Put the attempt on record."""
        audit.write(
            "login",
            outcome,
            caller=self._caller,
            user_id=self._query.session_id,
            account_id=self._account_id,
            connection=self._connection,
            now=self._now,
        )

    def run(self) -> SessionAnswer | TokensAnswer:
        verifier = self._checked_state()
        if self._query.error is not None or self._query.code is None:
            denied = self._query.error == "access_denied"
            raise _refusal("access_denied" if denied else "login_failed")
        application = _application()
        if self._connection.execute(INSERT_LOGIN, self._row).rowcount:
            pair = self._exchange(self._query.code, verifier, application)
            return self._connect(pair, given_at=self._now)
        return self._again()

    def _checked_state(self) -> str | None:
        """PKCE's verifier, if the way there had one. Without a state there is nothing to check,
        unless the session has asked for one of its own."""
        if self._query.state is None:
            if self._is_bound():
                raise _refusal("state_required")
            return None
        try:
            content = one_time_tokens.consume(
                STATE, self._query.state, by=self._code_hash.hex(), now=self._now
            )
        except one_time_tokens.InvalidToken as error:
            raise _refusal("invalid_state", STATES_REFUSED[error.reason]) from None
        owner = content.get("session_id")
        if owner is None and self._is_bound():  # anybody can get a state of no session
            raise _refusal("state_required")
        if owner is not None and owner != str(self._query.session_id):
            raise _refusal("invalid_state", STATES_REFUSED["foreign"])
        self._may_move = owner is not None
        return content.get("verifier")

    def _is_bound(self) -> bool:
        """Whether the session has asked for a state of its own."""
        values = {"user_id": self._query.session_id, "since": self._now - LOGIN_RETENTION}
        return self._connection.execute(SELECT_STATE_BINDING, values).fetchone() is not None

    def _exchange(
        self, code: str, verifier: str | None, application: tuple[str, str]
    ) -> oauth.TokenPair:
        """Send the code to hh.ru, once, and keep what it gives."""
        client_id, client_secret = application
        try:
            pair = self._hh.exchange_code(
                code,
                client_id=client_id,
                client_secret=client_secret,
                redirect_uri=settings.text("HH_REDIRECT_URI"),
                verifier=verifier,
            )
        except HHLoginRefused as error:
            self._refuse(error.reason if error.reason in access.REASONS else "invalid_code")
        except (HHError, Unavailable) as error:
            if isinstance(error, HHUnavailable) and error.may_have_acted:
                self._refuse("login_interrupted")
            self._connection.execute(DELETE_LOGIN_UNSENT, self._row)
            raise
        tokens = json.dumps([pair.access_token, pair.refresh_token, pair.expires_in])
        try:
            kept = encryption.encrypt(tokens, {"login": self._code_hash.hex()})
        except Unavailable:
            self._give_back(pair)
            self._refuse("login_interrupted")
        self._connection.execute(UPDATE_LOGIN_EXCHANGED, {**self._row, "pair": kept})
        for forget in (DELETE_OLD_LOGINS, DELETE_OLD_STATE_BINDINGS):
            self._connection.execute(forget, {"before": self._now - LOGIN_RETENTION})
        return pair

    def _again(self) -> SessionAnswer | TokensAnswer:
        """The same code came before."""
        seen = self._connection.execute(SELECT_LOGIN, self._row).fetchone()
        if seen is None:  # it had not reached hh.ru, and was forgotten this moment
            raise _login_in_progress()
        if seen["user_id"] != self._query.session_id:
            raise Conflict("the code came with another session", code="code_of_another_session")
        if seen["state"] == "refused":
            raise _refusal(seen["refusal"])
        if seen["state"] == "sent":
            if self._now < seen["started_at"] + SENDING_TIMEOUT:
                raise _login_in_progress()
            self._refuse("login_interrupted")
        if seen["state"] == "exchanged":
            return self._connect(self._parked(seen["pair"]), given_at=seen["started_at"])
        if self._query.session_id is not None and not seen["still_holds"]:
            raise _refusal("invalid_code")
        self._account_id = seen["account_id"]
        self.record("repeated")
        return self._answer(seen["finished_at"])

    def _parked(self, ciphertext: str) -> oauth.TokenPair:
        try:
            kept = encryption.decrypt(ciphertext, {"login": self._code_hash.hex()})
        except encryption.Undecryptable:  # the key was replaced within this minute
            self._refuse("login_interrupted")
        return oauth.TokenPair(*json.loads(kept))

    def _connect(
        self, pair: oauth.TokenPair, *, given_at: datetime
    ) -> SessionAnswer | TokensAnswer:
        """The pair becomes the account's, and the account the session's."""
        try:
            me = self._hh.me(pair.access_token)
        except HHForbidden:
            self._give_back(pair)
            self._refuse("hh_closed")
        except HHTokenRefused:  # the person took it back at once
            self._refuse("login_interrupted")
        if not me.is_applicant:
            self._give_back(pair)
            self._refuse("not_an_applicant")
        account_id = self._account_id = self._account(me.id)
        sealed = token_store.encrypt(account_id, pair)
        values = {
            **self._row,
            "account_id": account_id,
            "email": f"{self._query.session_id}@session.invalid",
            "utc": self._now.replace(tzinfo=None),
            "may_move": self._may_move,
        }
        try:
            with self._connection.transaction():
                since = self._attach(values) if self._query.session_id else self._now
                if not self._connection.execute(
                    UPDATE_LOGIN_DONE, {**values, "since": since}
                ).rowcount:
                    raise _login_in_progress()  # another call with this code was faster
                token_store.save(
                    sealed,
                    user_id=self._query.session_id,
                    connection=self._connection,
                    now=given_at,
                )
                self._connection.execute(UPDATE_ACCOUNT_CONNECTED, values)
                self.record("ok")
        except _AccountChangeForbidden:
            self._give_back(pair)
            self._refuse("session_of_another_account")
        logger.info("connected")
        count("Logins")
        return self._answer(since)

    def _attach(self, values: dict[str, Any]) -> datetime:
        """The session is the account's; since when its tokens count. Raises
        :class:`_MayNotMove`."""
        had = self._connection.execute(LOCK_USER_ACCOUNT, values).fetchone()
        after_now = self._now + timedelta(microseconds=1)
        row = self._connection.execute(
            UPSERT_USER_ACCOUNT, {**values, "after_now": after_now}
        ).fetchone()
        if row is None:
            raise _AccountChangeForbidden
        if had and had["account_id"] not in (None, values["account_id"]):
            # for the broadcaster, which ends the sockets that this session has there
            event_log.notify_after_commit(had["account_id"], connection=self._connection)
        token_store.delete_original(values["user_id"], connection=self._connection)
        valid_from = row["tokens_valid_from"]
        return max(self._now, valid_from) if valid_from else self._now

    def _account(self, hh_user_id: str) -> UUID:
        """The account of hh.ru's person, made if it is new. It has no tokens yet."""
        values = {"hh_user_id": hh_user_id, "now": self._now}
        self._connection.execute(INSERT_ACCOUNT, values)
        row = self._connection.execute(SELECT_ACCOUNT_BY_HH_USER, values).fetchone()
        return UUID(str(row["id"])) if row else self._account(hh_user_id)

    def _answer(self, since: datetime) -> SessionAnswer | TokensAnswer:
        """The same each time for the same code: the JWT is issued as of *since*. What went out
        before is the session's to see by then."""
        if self._query.session_id is not None and self._account_id is not None:
            history_transfer.transfer_history(
                self._account_id,
                self._query.session_id,
                caller=self._caller,
                connection=self._connection,
                now=self._now,
            )
            jwt = session_tokens.issue(self._query.session_id, now=since)
            return SessionAnswer(jwt=jwt, session_id=self._query.session_id)
        if self._account_id is None:  # pragma: no cover - a login that is done has its account
            raise AssertionError
        try:
            pair = token_store.read(self._account_id, connection=self._connection, now=self._now)
        except HHRefreshRefused:  # disconnected since
            raise _refusal("invalid_code") from None
        return TokensAnswer(tokens=Tokens.of(pair))

    def _give_back(self, pair: oauth.TokenPair) -> None:
        """Tokens that Core has no use for are revoked, as far as hh.ru answers."""
        try:
            self._hh.revoke(pair.access_token)
        except HHError:
            logger.warning("tokens could not be revoked")

    def _refuse(self, refusal: str) -> NoReturn:
        self._connection.execute(UPDATE_LOGIN_REFUSED, {**self._row, "refusal": refusal})
        raise _refusal(refusal) from None


def _refusal(code: str, message: str | None = None) -> LoginRefused:
    count("LoginsRefused")
    return LoginRefused(message or REFUSALS.get(code) or access.REASONS[code], code=code)


def _require_own_session(caller: Caller, session_id: UUID | None) -> None:
    """A token that was sent beside the secret binds: no login of another session, or of none."""
    if caller.user_id not in (None, session_id):
        raise Forbidden("the token is of another user", code="user_mismatch")


def _login_in_progress() -> Unavailable:
    return Unavailable("the login is under way", retry_after_s=1, code="login_in_progress")


def _application() -> tuple[str, str]:
    client_id, client_secret = secrets.read("HH_CLIENT_ID"), secrets.read("HH_CLIENT_SECRET")
    if not client_id or not client_secret:
        raise Unavailable(
            "logging in is not set up: the operator has to set HH_CLIENT_ID and HH_CLIENT_SECRET",
            retry_after_s=300,
            code="hh_misconfigured",
        )
    return client_id, client_secret
