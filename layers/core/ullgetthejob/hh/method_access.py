"""Storage of which methods of hh.ru are open (:mod:`.methods`), and the calls of the service.

A call is admitted first (:func:`admit`): one to a closed method is refused here, without a call to
hh.ru, until its probe is due. The probe is then claimed by a conditional update, so that of any
number of callers one makes it. hh.ru's answer is recorded: :func:`record_answer` opens the method,
:func:`record_refusal` closes it, both for whom it concerns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ullgetthejob.hh import methods
from ullgetthejob.hh.errors import HHForbidden
from ullgetthejob.hh.methods import METHODS, UNKNOWN, Method, MethodAccess, MethodState, Reason
from ullgetthejob.platform import postgres
from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

Answer = TypeVar("Answer")

CLOSED = "hh.ru keeps this closed to Core"

# The index's expression: without an account, a row is the service's.
HOLDER = "coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid)"
_HOLDERS = """ANY(ARRAY['00000000-0000-0000-0000-000000000000'::uuid,
    coalesce(%(account_id)s::uuid, '00000000-0000-0000-0000-000000000000'::uuid)])"""
_OF_METHOD = f"{HOLDER} = {_HOLDERS} AND method = %(method)s"
SELECT_METHOD_ACCESS = f"""
    SELECT account_id, method, state, reason, since, confirmed_at, probe_at, probes
    FROM hh_method_access
    WHERE {HOLDER} = {_HOLDERS} AND method = ANY(%(methods)s)
"""  # noqa: S608
# The probe belongs to the caller that moves probe_at. Two callers of different accounts may each
# get their account's row; the service's row is got by one of them.
UPDATE_PROBES_CLAIMED = f"""
    UPDATE hh_method_access SET probe_at = %(until)s
    WHERE {_OF_METHOD} AND state = 'closed' AND probe_at <= %(now)s
    RETURNING account_id
"""  # noqa: S608
# A method that was closed since the call was sent stays closed: only a probe opens it.
UPSERT_METHOD_OPEN = f"""
    INSERT INTO hh_method_access (account_id, method, state, since, confirmed_at)
    VALUES (%(holder)s, %(method)s, 'open', %(now)s, %(now)s)
    ON CONFLICT ({HOLDER}, method) DO UPDATE
    SET state = 'open', reason = NULL, probe_at = NULL, probes = 0, confirmed_at = %(now)s,
        since = CASE WHEN hh_method_access.state = 'open' THEN hh_method_access.since
                ELSE %(now)s END
    WHERE hh_method_access.state = 'open' OR %(is_probe)s
    -- The statement sees the row as it was before.
    RETURNING (SELECT old.state FROM hh_method_access old
               WHERE old.account_id IS NOT DISTINCT FROM %(holder)s AND old.method = %(method)s
              ) AS before
"""  # noqa: S608
# Of several refusals at once the first counts: further calls were sent before it was known.
UPSERT_METHOD_CLOSED = f"""
    INSERT INTO hh_method_access
        (account_id, method, state, reason, since, confirmed_at, probe_at, probes)
    VALUES (%(holder)s, %(method)s, 'closed', %(reason)s, %(now)s, %(now)s, %(probe_at)s,
            %(probes)s)
    ON CONFLICT ({HOLDER}, method) DO UPDATE
    SET state = 'closed', reason = %(reason)s, confirmed_at = %(now)s, probe_at = %(probe_at)s,
        probes = %(probes)s,
        since = CASE WHEN hh_method_access.state = 'closed' THEN hh_method_access.since
                ELSE %(now)s END
    WHERE hh_method_access.state = 'open' OR hh_method_access.probes = %(probes)s - 1
    RETURNING (SELECT old.state FROM hh_method_access old
               WHERE old.account_id IS NOT DISTINCT FROM %(holder)s AND old.method = %(method)s
              ) AS before
"""  # noqa: S608
# The accounts that were refused since an account was served last, as far as that is stored.
COUNT_ACCOUNTS_REFUSED = """
    SELECT count(*) AS accounts FROM hh_method_access
    WHERE method = %(method)s AND state = 'closed' AND account_id IS NOT NULL
      AND since > coalesce(%(interval)s + (
          SELECT max(confirmed_at) FROM hh_method_access
          WHERE method = %(method)s AND state = 'open'), '-infinity')
"""


@dataclass(frozen=True)
class Admission:
    """The permission for one call. *account_id*: whose token is sent, ``None`` for the
    application's. *access*: as it was known before the call. *is_probe*: the method was closed."""

    method: Method
    account_id: UUID | None
    access: MethodAccess
    is_probe: bool


def read_all(
    account_id: UUID | None, *, connection: Connection, wanted: Iterable[Method] = METHODS
) -> list[MethodAccess]:
    """Return the access to the methods, for the service and for the account, if there is one."""
    return _read(list(wanted), account_id, connection)


def read(method: Method, account_id: UUID | None, *, connection: Connection) -> MethodAccess:
    """Return the access to one method."""
    return _read([method], account_id, connection)[0]


def is_closed(
    method: Method, account_id: UUID | None, *, connection: Connection, now: datetime
) -> bool:
    """Return whether *method* is not to be called at *now*; where a probe is due, it is."""
    return read(method, account_id, connection=connection).is_closed(now)


def admit(
    method: Method,
    account_id: UUID | None,
    *,
    connection: Connection,
    now: datetime,
    known: MethodAccess | None = None,
) -> Admission | MethodAccess:
    """Return the permission to call *method* once; the access that forbids it if it is closed, and
    no probe is due or another caller makes it. *known*: the access as it was read a moment ago,
    which is not read again unless it is closed."""
    access = known
    if access is None or "closed" in (access.service.state, access.account.state):
        access = read(method, account_id, connection=connection)
    if access.is_closed(now):
        return access
    closed = [each for each in (access.service, access.account) if each.state == "closed"]
    if closed:
        values = {
            "method": method,
            "account_id": account_id,
            "now": now,
            "until": now + methods.PROBE_TIMEOUT,
        }
        claimed = connection.execute(UPDATE_PROBES_CLAIMED, values).fetchall()
        if len(claimed) < len(closed):
            return read(method, account_id, connection=connection)
        count("HhMethodProbes")
    return Admission(method, account_id, access, is_probe=bool(closed))


def record_answer(admission: Admission, *, connection: Connection, now: datetime) -> bool:
    """Record that hh.ru served an admitted call; return whether that opened a closed method."""
    reopened = False
    for holder, state in _holders(admission):
        known_until = state.confirmed_at and state.confirmed_at + methods.CONFIRM_INTERVAL
        if state.state == "open" and known_until is not None and known_until > now:
            continue
        values = {
            "holder": holder,
            "method": admission.method,
            "is_probe": admission.is_probe,
            "now": now,
        }
        row = connection.execute(UPSERT_METHOD_OPEN, values).fetchone()
        if row is not None and row["before"] == "closed":
            reopened = True
            _log_change(admission.method, holder, "closed", "open", connection=connection)
    return reopened


def record_refusal(
    admission: Admission, error: HHForbidden, *, connection: Connection, now: datetime
) -> MethodAccess:
    """Record that hh.ru definitely refused an admitted call; return the access afterwards."""
    of_service = error.is_missing or admission.account_id is None
    reason: Reason = "no_such_method" if error.is_missing else "forbidden"
    with connection.transaction():
        _close(admission, reason, of_service=of_service, connection=connection, now=now)
        if not of_service:
            values = {"method": admission.method, "interval": methods.CONFIRM_INTERVAL}
            row = connection.execute(COUNT_ACCOUNTS_REFUSED, values).fetchone()
            if row is not None and row["accounts"] >= methods.FORBIDDEN_ACCOUNTS:
                _close(admission, reason, of_service=True, connection=connection, now=now)
    return read(admission.method, admission.account_id, connection=connection)


def call_as_service(
    method: Method,
    request: Callable[[], Answer],
    context: Context,
    *,
    known: MethodAccess | None = None,
) -> Answer:
    """Make *request* with the application's token, if hh.ru keeps *method* open, and return its
    answer. *known*: see :func:`admit`.

    Raises :class:`HHForbidden` without a call while it is closed, and what *request* raises.
    """
    connection, now = context.connection, context.now()
    admission = admit(method, None, connection=connection, now=now, known=known)
    if isinstance(admission, MethodAccess):
        raise closed_error(admission, now=now)
    try:
        answer = request()
    except HHForbidden as error:
        of_service = error.is_missing or method in methods.OF_SERVICE
        if error.closed_method == method and of_service:  # not one person's login
            record_refusal(admission, error, connection=connection, now=now)
        raise
    record_answer(admission, connection=connection, now=now)
    return answer


def closed_error(access: MethodAccess, *, now: datetime) -> HHForbidden:
    """Return the error of a method that is not called, since it is closed."""
    if access.method == "search":
        count("HhSearchClosed")
    until = access.decisive.probe_at
    wait_s = 300 if until is None else max(1, round((until - now).total_seconds()))
    return HHForbidden(CLOSED, retry_after_s=wait_s)


def _read(
    wanted: list[Method], account_id: UUID | None, connection: Connection
) -> list[MethodAccess]:
    values = {"account_id": account_id, "methods": wanted}
    found: dict[tuple[str, bool], MethodState] = {}
    for row in connection.execute(SELECT_METHOD_ACCESS, values).fetchall():
        key = (row.pop("method"), row.pop("account_id") is None)
        found[key] = MethodState(**row)
    return [
        MethodAccess(
            method,
            service=found.get((method, True), UNKNOWN),
            account=found.get((method, False), UNKNOWN),
        )
        for method in wanted
    ]


def _holders(admission: Admission) -> list[tuple[UUID | None, MethodState]]:
    service: list[tuple[UUID | None, MethodState]] = [(None, admission.access.service)]
    if admission.account_id is None:
        return service
    return [*service, (admission.account_id, admission.access.account)]


def _close(
    admission: Admission,
    reason: Reason,
    *,
    of_service: bool,
    connection: Connection,
    now: datetime,
) -> None:
    """Close the method for the service or for the account, with a longer pause after each probe."""
    seen = admission.access.service if of_service else admission.access.account
    holder = None if of_service else admission.account_id
    values = {
        "holder": holder,
        "method": admission.method,
        "reason": reason,
        "now": now,
        "probes": seen.probes + 1,
        "probe_at": methods.next_probe_at(admission.method, seen.probes, now=now),
    }
    row = connection.execute(UPSERT_METHOD_CLOSED, values).fetchone()
    if row is not None and row["before"] != "closed":
        count("HhMethodsClosed")
        before = row["before"] or "unknown"
        _log_change(
            admission.method, holder, before, "closed", connection=connection, reason=reason
        )


def _log_change(
    method: Method,
    holder: UUID | None,
    before: str,
    state: str,
    *,
    connection: Connection,
    reason: Reason | None = None,
) -> None:
    postgres.log_transition(
        connection, "method", before, state, method=method, reason=reason, account_id=holder
    )
