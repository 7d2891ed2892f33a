"""The DynamoDB of the other suites decides and responds like AWS's own DynamoDB Local.

Two differences remain, on which no code may rely: the other one returns ``ConsumedCapacity``
without a request, and its ``UPDATED_NEW`` includes the key and lacks unchanged attributes.
"""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest

from ullgetthejob.hh.errors import HHBusy
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import aws, leases, settings
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.rate_limits.token_bucket import Denied

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
OWNER = UUID(int=1)


@pytest.fixture
def responses(monkeypatch):
    """Record DynamoDB's responses: "granted" and the slot, if any, or the code of a refusal and the
    item."""
    responses = []
    call = aws.call

    def recorded(service, operation, request):
        try:
            content = call(service, operation, request)
        except aws.AwsError as error:
            responses.append((operation, error.code, error.content.get("Item")))
            raise
        responses.append((operation, "granted", content.get("Attributes", {}).get("tat")))
        return content

    monkeypatch.setattr(aws, "call", recorded)
    return responses


def acquire_and_release():
    first = leases.acquire("account#1", seconds=60, now=NOW)
    assert first is not None
    assert leases.acquire("account#1", seconds=60, now=NOW + timedelta(seconds=59)) is None
    second = leases.acquire("account#1", seconds=60, now=NOW + timedelta(seconds=60))
    assert second is not None
    first.release()
    second.release()
    assert leases.acquire("account#1", seconds=60, now=NOW) is not None
    leases.Lease("unknown", "me", 0).release()


def call_until_refused():
    patient, hasty = (
        Pacer(
            settings.PACER_TABLE(),
            patience_ms=patience_ms,
            now_ms=lambda: int(NOW.timestamp() * 1000),
            sleep=lambda seconds: None,
        )
        for patience_ms in (4_000, 400)
    )
    hasty.wait()
    hasty.wait()
    with pytest.raises(HHBusy):
        hasty.wait()
    patient.wait()
    patient.pause("busy", 10)
    patient.pause("busy", 1)
    with pytest.raises(HHBusy):
        patient.wait()


def spend_until_denied():
    token_bucket._last_tat.clear()

    def acquire(spend_id, seconds=0.0):
        now = NOW + timedelta(seconds=seconds)
        return token_bucket.acquire("submit", OWNER, spend_id=spend_id, now=now)

    for number in range(20):
        acquire(f"id-{number}")
    assert isinstance(acquire("over-capacity"), Denied)
    acquire("id-3")
    assert isinstance(acquire("id-20"), Denied)
    acquire("id-20", 5 * 3600)
    token_bucket.refill("submit", OWNER, now=NOW + timedelta(hours=5))
    acquire("id-21", 5 * 3600)
    token_bucket._last_tat.clear()
    acquire("id-22", 9 * 3600)
    acquire("id-20", 9 * 3600)
    token_bucket.read_level("submit", OWNER, now=NOW)
    token_bucket.refill("submit", UUID(int=0), now=NOW)


@pytest.mark.parametrize("work", [acquire_and_release, call_until_refused, spend_until_denied])
def test_conditional_writes_get_equal_responses(dynamodb_local, responses, monkeypatch, work):
    recorded = []
    for endpoint in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"):
        owners = count(1)
        with monkeypatch.context() as patch:
            patch.setattr(
                leases.secrets, "token_hex", lambda size, owners=owners: str(next(owners))
            )
            if endpoint == "AWS_ENDPOINT_URL":
                patch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
            aws.reset_connections()
            work()
        recorded.append(list(responses))
        responses.clear()
    assert "ConditionalCheckFailedException" in {outcome for _, outcome, _ in recorded[0]}
    assert recorded[1] == recorded[0]
