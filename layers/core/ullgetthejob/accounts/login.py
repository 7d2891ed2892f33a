"""Finishing a login at hh.ru: the callback with an authorization code.

A callback is repeatable, because the BFF sends it again after every 5xx while hh.ru accepts a code
once. Each code has a row of ``hh_logins``, whose state says how far the login has come:

    sent        the code is on its way to hh.ru, or was lost there: it is never sent again
    exchanged   hh.ru returned a pair of tokens, kept encrypted until its account is known
    done        the pair is the account's; the same session gets the same answer again
    refused     the same refusal again

The state that a callback brings back is checked by :mod:`.login_state`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn
from uuid import UUID

from pydantic import Field

from ullgetthejob.accounts import (
    access,
    account_connection,
    audit,
    history_transfer,
    login_state,
    session_tokens,
    token_store,
)
from ullgetthejob.accounts.login_refusals import refusal
from ullgetthejob.accounts.token_refresh import Tokens, TokensAnswer
from ullgetthejob.hh import method_access
from ullgetthejob.hh.errors import (
    HHError,
    HHForbidden,
    HHLoginRefused,
    HHMisconfigured,
    HHRefreshRefused,
    HHTokenRefused,
    HHUnavailable,
)
from ullgetthejob.hh.oauth import TokenPair
from ullgetthejob.platform import encryption, secrets, settings
from ullgetthejob.platform.errors import AppError, Conflict, Invalid, Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, log_transition, logger

if TYPE_CHECKING:
    from ullgetthejob.platform.context import Context

# Longer than any invocation: after that, no process waits for hh.ru's answer to the code.
SENDING_TIMEOUT = timedelta(seconds=30)
LOGIN_RETENTION = timedelta(days=30)

INSERT_LOGIN = """
    INSERT INTO hh_logins (code_hash, user_id, state, started_at)
    VALUES (%(code_hash)s, %(user_id)s, 'sent', %(now)s) ON CONFLICT DO NOTHING
"""
DELETE_OLD_LOGINS = "DELETE FROM hh_logins WHERE started_at < %(before)s"
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


class CallbackQuery(Model):
    """The parameters with which hh.ru sent the browser back, and the browser's session at the
    BFF."""

    code: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    error: Annotated[str, Field(max_length=100)] | None = None
    state: Annotated[str, Field(max_length=512)] | None = None
    session_id: UUID | None = None


class SessionAnswer(Model):
    """The answer when the session is connected; *jwt* identifies its user from now on."""

    success: Literal[True] = True
    jwt: str
    session_id: UUID


def finish_login(query: CallbackQuery, context: Context) -> SessionAnswer | TokensAnswer:
    """Connect the session and return its JWT; without a session, return hh.ru's tokens.

    Raises :class:`LoginRefused`, :class:`Conflict` for a code of another session, and
    :class:`Unavailable` where the same call may succeed later.
    """
    login_state.require_own_session(context.caller, query.session_id)
    if query.code is None and query.error is None:
        raise Invalid.field("code", "must be given")
    callback = _Callback(query, context.with_fixed_time())
    try:
        return callback.run()
    except AppError as error:
        callback.record(error.code)
        raise


class _Callback:
    """One callback. The time of *context* is fixed."""

    def __init__(self, query: CallbackQuery, context: Context) -> None:
        self._query = query
        self._context = context
        self._hh = context.hh
        self._connection = context.connection
        self._now = context.now()
        self._account_id: UUID | None = None
        self._may_move = False
        self._code_hash = hashlib.sha256((query.code or "").encode()).digest()
        self._values = {"code_hash": self._code_hash, "user_id": query.session_id, "now": self._now}

    def record(self, outcome: str) -> None:
        """Store an audit record of the login."""
        audit.write(
            "login",
            outcome,
            self._context,
            user_id=self._query.session_id,
            account_id=self._account_id,
        )

    def run(self) -> SessionAnswer | TokensAnswer:
        """Send the code to hh.ru, or continue where an earlier callback with it stopped."""
        state = login_state.check_state(
            self._query.state,
            self._query.session_id,
            used_by=self._code_hash.hex(),
            connection=self._connection,
            now=self._now,
        )
        self._may_move = state.is_bound
        if self._query.error is not None or self._query.code is None:
            denied = self._query.error == "access_denied"
            raise refusal("access_denied" if denied else "login_failed")
        credentials = login_state.read_client_credentials()
        if self._connection.execute(INSERT_LOGIN, self._values).rowcount:
            pair = self._exchange_code(self._query.code, state.verifier, credentials)
            return self._connect(pair, received_at=self._now)
        return self._repeat()

    def _exchange_code(
        self, code: str, verifier: str | None, credentials: tuple[str, str]
    ) -> TokenPair:
        """Send the code to hh.ru, once, and park the pair that it returns."""
        try:
            pair = self._send_code(code, verifier, credentials)
        except HHLoginRefused as error:
            self._refuse(error.reason if error.reason in access.REASONS else "invalid_code")
        except (HHError, Unavailable) as error:
            if isinstance(error, HHUnavailable) and error.may_have_acted:
                self._refuse("login_interrupted")
            self._connection.execute(DELETE_LOGIN_UNSENT, self._values)
            raise
        tokens = json.dumps([pair.access_token, pair.refresh_token, pair.expires_in])
        try:
            ciphertext = encryption.encrypt(tokens, {"login": self._code_hash.hex()})
        except Unavailable:
            self._revoke(pair)
            self._refuse("login_interrupted")
        self._connection.execute(UPDATE_LOGIN_EXCHANGED, {**self._values, "pair": ciphertext})
        self._connection.execute(DELETE_OLD_LOGINS, {"before": self._now - LOGIN_RETENTION})
        login_state.delete_old_bindings(connection=self._connection, now=self._now)
        return pair

    def _send_code(
        self, code: str, verifier: str | None, credentials: tuple[str, str], *, again: bool = False
    ) -> TokenPair:
        """Send the code to hh.ru, once more if the application's secret was rotated: hh.ru has not
        looked at the code then."""
        client_id, client_secret = credentials
        try:
            return self._hh.exchange_code(
                code,
                client_id=client_id,
                client_secret=client_secret,
                redirect_uri=settings.HH_REDIRECT_URI(),
                verifier=verifier,
            )
        except HHMisconfigured:
            if again or not secrets.refresh(settings.HH_CLIENT_SECRET):
                raise
            return self._send_code(
                code, verifier, login_state.read_client_credentials(), again=True
            )

    def _repeat(self) -> SessionAnswer | TokensAnswer:
        """Continue or answer a login whose code came before."""
        login = self._connection.execute(SELECT_LOGIN, self._values).fetchone()
        if login is None:  # it had not reached hh.ru, and was deleted a moment ago
            raise _login_in_progress()
        if login["user_id"] != self._query.session_id:
            raise Conflict("the code came with another session", code="code_of_another_session")
        if login["state"] == "refused":
            raise refusal(login["refusal"])
        if login["state"] == "sent":
            if self._now < login["started_at"] + SENDING_TIMEOUT:
                raise _login_in_progress()
            self._refuse("login_interrupted")
        if login["state"] == "exchanged":
            return self._connect(self._parked_pair(login["pair"]), received_at=login["started_at"])
        if self._query.session_id is not None and not login["still_holds"]:
            raise refusal("invalid_code")
        self._account_id = login["account_id"]
        self.record("repeated")
        return self._answer(login["finished_at"])

    def _parked_pair(self, ciphertext: str) -> TokenPair:
        try:
            tokens = encryption.decrypt(ciphertext, {"login": self._code_hash.hex()})
        except encryption.Undecryptable:  # the key was replaced within this minute
            self._refuse("login_interrupted")
        return TokenPair(*json.loads(tokens))

    def _connect(self, pair: TokenPair, *, received_at: datetime) -> SessionAnswer | TokensAnswer:
        """Store the pair as the account's, attach the session to the account, and answer."""
        account_id = self._account_id = account_connection.get_or_create_account(
            self._read_hh_user_id(pair), connection=self._connection, now=self._now
        )
        encrypted = token_store.encrypt(account_id, pair)
        try:
            with self._connection.transaction():
                since = self._attach_session(account_id)
                values = {**self._values, "account_id": account_id, "since": since}
                if not self._connection.execute(UPDATE_LOGIN_DONE, values).rowcount:
                    raise _login_in_progress()  # another call with this code was faster
                token_store.save(
                    encrypted,
                    user_id=self._query.session_id,
                    connection=self._connection,
                    now=received_at,
                )
                account_connection.mark_connected(
                    account_id, connection=self._connection, now=self._now
                )
                self.record("ok")
        except account_connection.AccountChangeForbidden:
            self._revoke(pair)
            self._refuse("session_of_another_account")
        log_transition("tokens", None, "valid", account_id=account_id)
        count("Logins")
        return self._answer(since)

    def _read_hh_user_id(self, pair: TokenPair) -> str:
        """Return the id of hh.ru's user. Refuses the login of a user who is no applicant."""
        try:
            me = method_access.call_as_service(
                "me", lambda: self._hh.me(pair.access_token), self._context
            )
        except HHForbidden:
            self._revoke(pair)
            self._refuse("hh_closed")
        except HHTokenRefused:  # the person revoked it at once
            self._refuse("login_interrupted")
        if not me.is_applicant:
            self._revoke(pair)
            self._refuse("not_an_applicant")
        return me.id

    def _attach_session(self, account_id: UUID) -> datetime:
        """Attach the session, if there is one; return the time as of which the JWT is issued."""
        if self._query.session_id is None:
            return self._now
        return account_connection.attach_session(
            account_id,
            self._query.session_id,
            may_move=self._may_move,
            connection=self._connection,
            now=self._now,
        )

    def _answer(self, since: datetime) -> SessionAnswer | TokensAnswer:
        """Return the same answer each time for the same code: the JWT is issued as of *since*.
        Past applications are transferred to the session before."""
        if self._query.session_id is not None and self._account_id is not None:
            history_transfer.transfer_history(
                self._account_id, self._query.session_id, self._context
            )
            jwt = session_tokens.issue(self._query.session_id, now=since)
            return SessionAnswer(jwt=jwt, session_id=self._query.session_id)
        if self._account_id is None:  # pragma: no cover - a login that is done has its account
            raise AssertionError
        try:
            pair = token_store.read(self._account_id, connection=self._connection, now=self._now)
        except HHRefreshRefused:  # disconnected since
            raise refusal("invalid_code") from None
        return TokensAnswer(tokens=Tokens.of(pair))

    def _revoke(self, pair: TokenPair) -> None:
        """Revoke tokens that Core has no use for, if hh.ru answers."""
        try:
            self._hh.revoke(pair.access_token)
        except HHError:
            logger.warning("tokens could not be revoked")

    def _refuse(self, code: str) -> NoReturn:
        """Store the refusal, so that the same code is refused again, and raise it."""
        self._connection.execute(UPDATE_LOGIN_REFUSED, {**self._values, "refusal": code})
        raise refusal(code) from None


def _login_in_progress() -> Unavailable:
    return Unavailable("the login is in progress", retry_after_s=1, code="login_in_progress")
