"""The other suites run on another DynamoDB: it decides and answers as AWS's own does.

But for what nobody may rely on: there ``ConsumedCapacity`` comes unasked, and ``UPDATED_NEW``
brings the key, too, and leaves out what was set to the value that it had.
"""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from ullgetthejob.hh.errors import HHBusy
from ullgetthejob.hh.pacer import Pacer
from ullgetthejob.platform import aws, leases, settings

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def answers(monkeypatch):
    """What DynamoDB answered: "granted" and the slot, if any, or a refusal's code and the item."""
    heard = []
    call = aws.call

    def listened(service, operation, request):
        try:
            content = call(service, operation, request)
        except aws.AwsError as error:
            heard.append((operation, error.code, error.content.get("Item")))
            raise
        heard.append((operation, "granted", content.get("Attributes", {}).get("tat")))
        return content

    monkeypatch.setattr(aws, "call", listened)
    return heard


def hold_and_let_go():
    first = leases.take("account#1", seconds=60, now=NOW)
    assert first is not None
    assert leases.take("account#1", seconds=60, now=NOW + timedelta(seconds=59)) is None
    second = leases.take("account#1", seconds=60, now=NOW + timedelta(seconds=60))
    assert second is not None
    first.release()
    second.release()
    assert leases.take("account#1", seconds=60, now=NOW) is not None
    leases.Lease("nobody's", "me", 0).release()


def call_until_refused():
    patient, hasty = (
        Pacer(
            settings.text("PACER_TABLE"),
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


@pytest.mark.parametrize("work", [hold_and_let_go, call_until_refused])
def test_leases_and_pacer_hear_the_same(dynamodb_local, answers, monkeypatch, work):
    heard = []
    for endpoint in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"):
        owners = count(1)
        with monkeypatch.context() as patch:
            patch.setattr(
                leases.secrets, "token_hex", lambda size, owners=owners: str(next(owners))
            )
            if endpoint == "AWS_ENDPOINT_URL":
                patch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
            aws.forget()
            work()
        heard.append(list(answers))
        answers.clear()
    assert "ConditionalCheckFailedException" in {outcome for _, outcome, _ in heard[0]}
    assert heard[1] == heard[0]
