"""The publisher of the public feed: posts the waiting rows of the outbox to the BFF."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ullgetthejob.platform import leased_work, postgres, secrets, settings, tls, tracing
from ullgetthejob.platform.errors import Conflict, Unavailable
from ullgetthejob.platform.models import Model
from ullgetthejob.platform.telemetry import count, logger
from ullgetthejob.public_feed import outbox

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ullgetthejob.platform.context import Context
    from ullgetthejob.platform.postgres import Connection

LEASE = "public-feed"
LEASE_S = 60
PATH = "/api/v1/jobs/broadcast"
SOURCE = "hh.ru"
CONNECT_TIMEOUT_S = 2
TOTAL_TIMEOUT_S = 10  # of one POST
RUN_BUDGET_S = 15  # after which no POST begins: the function has 30
MAX_JOBS = 100  # the original's
MAX_DESCRIPTION_CHARS = 1_000  # an excerpt: it goes to every open browser
PAUSES = [timedelta(seconds=s) for s in (10, 30, 120, 600, 1800)]
SWEEP_INTERVAL = timedelta(minutes=1)  # for a shorter pause, a wake-up is sent
ENTRY_TTL = timedelta(days=1)
PERMANENT_STATUSES = {400, 413, 422}  # the content is wrong, and stays wrong
RETRYABLE_STATUSES = {408, 429}
LOCK_WAITING_ENTRIES = """
    SELECT number, vacancy_id, attempts, at FROM public_feed
    WHERE state = 'waiting' ORDER BY number LIMIT %(most)s
    FOR UPDATE
"""
SELECT_JOBS = """
    SELECT external_id, title, company, salary, area, url, description, source
    FROM jobs WHERE external_id = ANY(%(ids)s)
"""
UPDATE_ENTRIES_ENDED = """
    UPDATE public_feed SET state = %(state)s, reason = %(reason)s, ended_at = %(now)s
    WHERE number = ANY(%(numbers)s)
"""
UPDATE_WAITING_ENDED = """
    UPDATE public_feed SET state = 'off', reason = %(reason)s, ended_at = %(now)s
    WHERE state = 'waiting'
"""
UPDATE_ENTRIES_POSTPONED = """
    UPDATE public_feed SET attempts = attempts + 1, due_at = %(due_at)s, reason = %(reason)s
    WHERE number = ANY(%(numbers)s)
"""


class Dummy(Model):
    """The result of posting a made-up vacancy to the BFF."""

    success: Literal[True] = True
    status: int = Field(description="the BFF's HTTP status")
    external_id: str = Field(description="the made-up vacancy's id, to recognise it in the browser")
    broadcasted: int = 1


@dataclass(frozen=True)
class Reply:
    """The BFF's response: its *status*, or ``None`` and in *reason* why there is none."""

    status: int | None
    reason: str

    @property
    def outcome(self) -> Literal["posted", "rejected", "refused", "failed"]:
        """Return the outcome: accepted; permanently rejected for its content; refused because of
        our settings; failed for now."""
        if self.status is None or self.status >= 500 or self.status in RETRYABLE_STATUSES:
            return "failed"
        if self.status in PERMANENT_STATUSES:
            return "rejected"
        return "posted" if 200 <= self.status < 300 else "refused"


def run(context: Context) -> bool:
    """Post the due rows, as :func:`leased_work.run` does; return whether due rows are left for
    another wake-up."""

    def work(deadline: float) -> None:
        worker = _Worker(context)
        while time.monotonic() < deadline and worker.step():
            pass

    def is_due() -> bool:
        return _is_due(context.connection, context.now())

    return is_due() and leased_work.run(
        LEASE, work, is_due, context.clock, lease_s=LEASE_S, budget_s=RUN_BUDGET_S
    )


def _is_due(connection: Connection, now: datetime) -> bool:
    oldest = connection.execute(outbox.SELECT_OLDEST_WAITING).fetchone()
    return oldest is not None and oldest["due_at"] <= now


class _Worker:
    """The holder of the lease, which posts batches of at most *_batch_size* rows."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._connection = context.connection
        self._batch_size = MAX_JOBS

    def step(self) -> bool:
        """Post one batch and commit its outcome; return whether to go on."""
        disabled = disabled_reason()
        with self._connection.transaction():
            if not _is_due(self._connection, self._context.now()):
                return False
            if disabled is not None:
                values = {"reason": disabled, "now": self._context.now()}
                ended = self._connection.execute(UPDATE_WAITING_ENDED, values).rowcount
                logger.info("the public feed is off", number=ended, reason=disabled)
                return False
            values = {"most": self._batch_size}
            rows = self._connection.execute(LOCK_WAITING_ENTRIES, values).fetchall()
            return self._post_batch(rows)

    def _post_batch(self, rows: Sequence[dict[str, Any]]) -> bool:
        ids = [row["vacancy_id"] for row in rows]
        found = self._connection.execute(SELECT_JOBS, {"ids": ids}).fetchall()
        jobs = {job["external_id"]: job for job in found}
        self._end([row for row in rows if row["vacancy_id"] not in jobs], "dead", "no_such_vacancy")
        rows = [row for row in rows if row["vacancy_id"] in jobs]
        if not rows:
            return True
        waiting = self._connection.execute(outbox.SELECT_HAS_WAITING).fetchone() or {
            "waiting": len(rows)
        }
        body = payload(
            [to_bff_job(jobs[row["vacancy_id"]]) for row in rows],
            total=waiting["waiting"],
            now=self._context.now(),
        )
        return self._store_outcome(rows, post(body, request_id=self._context.caller.request_id))

    def _store_outcome(self, rows: Sequence[dict[str, Any]], reply: Reply) -> bool:
        if reply.outcome == "posted":
            self._end(rows, "posted", None)
            self._batch_size = min(MAX_JOBS, self._batch_size * 2)
            return True
        logger.warning("the BFF did not take the public feed", reason=reply.reason, jobs=len(rows))
        if reply.outcome == "rejected":
            if len(rows) > 1:
                self._batch_size = len(rows) // 2
            else:
                self._end(rows, "dead", reply.reason)
                self._batch_size = min(MAX_JOBS, self._batch_size * 2)
            return True
        count("PublicFeedRefused" if reply.outcome == "refused" else "PublicFeedFailed")
        self._postpone(rows, reply.reason)
        return False

    def _postpone(self, rows: Sequence[dict[str, Any]], reason: str) -> None:
        now = self._context.now()
        too_old = [row for row in rows if now - row["at"] >= ENTRY_TTL]
        self._end(too_old, "dead", reason)
        kept = [row for row in rows if row not in too_old]
        pause = PAUSES[min(rows[0]["attempts"], len(PAUSES) - 1)]
        values = {
            "numbers": [row["number"] for row in kept],
            "due_at": now + pause,
            "reason": reason,
        }
        self._connection.execute(UPDATE_ENTRIES_POSTPONED, values)
        if kept and pause < SWEEP_INTERVAL:
            postgres.after_commit(self._connection, outbox.QUEUE, partial(outbox.notify, pause))

    def _end(
        self, rows: Sequence[dict[str, Any]], state: Literal["posted", "dead"], reason: str | None
    ) -> None:
        if not rows:
            return
        values = {
            "numbers": [row["number"] for row in rows],
            "state": state,
            "reason": reason,
            "now": self._context.now(),
        }
        self._connection.execute(UPDATE_ENTRIES_ENDED, values)
        count("PublicFeedPosted" if state == "posted" else "PublicFeedDead", len(rows))
        if state == "dead":
            logger.error("vacancies will not be in the public feed", number=len(rows), why=reason)


def to_bff_job(job: dict[str, Any]) -> dict[str, str]:
    """Return a row of ``jobs`` as the BFF expects it: texts only, no null, externalId required."""
    fields = {
        "id": job["external_id"],
        "externalId": job["external_id"],
        "title": job["title"],
        "company": job["company"],
        "salary": job["salary"],
        "area": job["area"],
        "url": job["url"],
        "description": job["description"] and job["description"][:MAX_DESCRIPTION_CHARS],
        "source": job["source"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def payload(jobs: list[dict[str, str]], *, total: int, now: datetime) -> bytes:
    """Return the body of a broadcast; *total*: the number of waiting rows, these included."""
    stats = {
        "total": total,
        "broadcasted": len(jobs),
        "source": SOURCE,
        "timestamp": now.isoformat(),
    }
    return json.dumps({"jobs": jobs, "stats": stats}, ensure_ascii=False).encode()


def disabled_reason() -> str | None:
    """Return why the settings disable the feed, or ``None`` when it is enabled."""
    if settings.BFF_BROADCAST() == "off":
        return "off"
    return None if settings.API_BASE_URL() else "no_api_base_url"


def post(body: bytes, *, request_id: str) -> Reply:
    """Post a broadcast and return the reply, within :data:`TOTAL_TIMEOUT_S` whatever the BFF does.

    Raises :class:`settings.SettingMissing` without an ``ORCHESTRATOR_SECRET``.
    """
    import asyncio

    import httpx

    secret = secrets.require(settings.ORCHESTRATOR_SECRET)
    url = settings.API_BASE_URL().rstrip("/") + PATH
    headers = {
        "Content-Type": "application/json",
        "X-Core-Secret": secret,
        "X-Request-ID": request_id,
    }
    if position := tracing.position():
        headers["traceparent"] = position.traceparent

    async def status() -> int:
        # asyncio, because httpx's timeout applies to each read: a response that trickles never
        # ends. Only the status is needed.
        async with (
            asyncio.timeout(TOTAL_TIMEOUT_S),
            httpx.AsyncClient(
                timeout=httpx.Timeout(TOTAL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                follow_redirects=False,
                verify=tls.context(),
                trust_env=False,
            ) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return response.status_code

    try:
        code = asyncio.run(status())
    except (TimeoutError, httpx.TimeoutException):
        return Reply(None, "timeout")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        logger.warning("the BFF is unreachable", error_type=type(error).__name__)
        return Reply(None, "unreachable")
    if code in (401, 403):  # our secret may have been rotated: the next post has the new one
        secrets.refresh(settings.ORCHESTRATOR_SECRET)
    return Reply(code, f"http_{code}")


def post_dummy(*, request_id: str, now: datetime) -> Dummy:
    """Post one made-up vacancy at once, to test the connection to the BFF.

    Raises :class:`Conflict` (``broadcast_off``) where the settings disable the feed, and
    :class:`Unavailable` (``bff_refused``, ``bff_unavailable``) where the BFF does not accept it.
    """
    disabled = disabled_reason()
    if disabled is not None:
        raise Conflict(
            "the public feed is off: set API_BASE_URL, and BFF_BROADCAST to on",
            code="broadcast_off",
            details={"reason": disabled},
        )
    external_id = f"dummy-{int(now.timestamp())}"
    job = {
        "id": "0",
        "externalId": external_id,
        "title": "[TEST] This vacancy does not exist",
        "company": "[TEST] UllGetTheJob Core",
        "description": "Posted by broadcast-dummy, to check that vacancies reach the browser.",
        "source": SOURCE,
    }
    reply = post(payload([job], total=1, now=now), request_id=request_id)
    if reply.outcome == "posted" and reply.status is not None:
        return Dummy(status=reply.status, external_id=external_id)
    logger.warning("the BFF did not take the dummy", reason=reply.reason)
    details = {"reason": reply.reason}
    if reply.outcome == "failed":
        raise Unavailable(
            "the BFF does not answer, or fails", code="bff_unavailable", details=details
        )
    raise Unavailable(
        f"the BFF answers {reply.status}; is its ORCHESTRATOR_SECRET ours, and API_BASE_URL it?",
        code="bff_refused",
        retry_after_s=60,
        details=details,
    )
