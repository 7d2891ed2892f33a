"""hh.ru's tokens for a trusted server: after a login without a session, and after a refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ullgetthejob.accounts import audit, people, token_renewal, token_store
from ullgetthejob.hh.errors import HHRefreshRefused, HHTokenNotExpired
from ullgetthejob.platform.errors import BadRequest, Forbidden
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from ullgetthejob.hh.oauth import TokenPair
    from ullgetthejob.platform.context import Context


class Tokens(Model):
    """A pair of tokens. *expires_in*: seconds for which the access token is still valid."""

    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a type, no token
    expires_in: int

    @classmethod
    def of(cls, pair: TokenPair) -> Tokens:
        """Return *pair* as callers see it."""
        return cls(
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
            expires_in=pair.expires_in,
        )


class TokensAnswer(Model):
    """The answer for a trusted server: hh.ru's tokens themselves."""

    success: Literal[True] = True
    tokens: Tokens


class RefreshBody(Model):
    """The refresh token that is renewed."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=512, repr=False)]


def refresh(body: RefreshBody, context: Context) -> TokensAnswer:
    """Return the pair that follows a refresh token. hh.ru: a token is refreshed once, after it has
    expired.

    A token of an account is renewed in its place, and while it has not expired the present pair is
    returned; one that Core does not keep is exchanged and not stored. Raises :class:`BadRequest`
    when hh.ru refuses, :class:`Forbidden` for another account's token beside a user's JWT.
    """
    context = context.with_fixed_time()
    caller = context.caller
    account_id = token_store.find_account(body.refresh_token, connection=context.connection)
    with audit.recorded("refresh", context, user_id=caller.user_id, account_id=account_id):
        if caller.user_id is not None and account_id not in (
            None,
            people.find_by_id(caller.user_id).account_id,
        ):
            raise Forbidden("the token is of another user", code="user_mismatch")
        try:
            pair = token_renewal.exchange(body.refresh_token, hh=context.hh, now=context.now())
        except HHRefreshRefused as error:
            raise BadRequest(
                "the refresh token is no longer valid: the person logs in again",
                code="invalid_refresh_token",
            ) from error
        except HHTokenNotExpired as error:
            raise BadRequest(
                "hh.ru refreshes a token only after it has expired", code="token_not_expired"
            ) from error
    return TokensAnswer(tokens=Tokens.of(pair))
