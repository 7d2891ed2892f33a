"""A function's report of batch item failures, as Lambda reads it."""

import json

import pytest

from local.event_sources.queue_poller import failures

BATCH = {"a", "b"}


@pytest.mark.parametrize("response", [None, {}, {"batchItemFailures": []}, {"other": 1}])
def test_no_reported_failure_is_success(response):
    assert failures(json.dumps(response).encode(), BATCH) == set()


def test_null_failures_are_an_empty_list():
    assert failures(b'{"batchItemFailures": null}', BATCH) == set()


def test_only_named_messages_failed():
    assert failures(b'{"batchItemFailures": [{"itemIdentifier": "b"}]}', BATCH) == {"b"}


@pytest.mark.parametrize(
    "response",
    [
        b"not json",
        b"",
        b'"ok"',
        b"[]",
        b'{"batchItemFailures": "b"}',
        b'{"batchItemFailures": ["b"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemId": "b"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "z"}]}',
    ],
)
def test_invalid_report_fails_the_whole_batch(response):
    assert failures(response, BATCH) is None
