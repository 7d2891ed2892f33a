"""The queues of a template, and the event sources of its functions: queues and schedules.

Each function here takes properties whose references are resolved, and their place in the template
for errors. Properties that would not deploy, or would behave differently in the cloud, raise a
:class:`~local.template.cloudformation.TemplateError`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.event_sources.schedule import Rate, parse
from local.template.cloudformation import TemplateError
from local.template.resources import EventInvokeConfig, Queue, QueueSource, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.template.resources import Function

_QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
)
# Access to a queue and its encryption have no local equivalent.
_QUEUE_IGNORED = (
    *("KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "RedriveAllowPolicy"),
    *("SqsManagedSseEnabled", "Tags"),
)
# Delivery to Lambda cannot fail locally, so there is nothing to retry or to dead-letter.
_RULE_IGNORED = ("DeadLetterConfig", "Description", "RetryPolicy", "RoleArn")

_LARGEST_BATCH = 10_000
_LARGEST_BATCH_WITHOUT_WINDOW = 10


def queue(logical_id: str, properties: Mapping[str, Any], place: str) -> Queue:
    """Read an ``AWS::SQS::Queue``."""
    name = str(properties.get("QueueName", logical_id))
    _refuse_others(
        properties, (*_QUEUE_ATTRIBUTES, *_QUEUE_IGNORED, "QueueName", "RedrivePolicy"), place
    )
    redrive = properties.get("RedrivePolicy") or {}
    if redrive and not (redrive.get("deadLetterTargetArn") and redrive.get("maxReceiveCount")):
        raise TemplateError(
            f"{place}.RedrivePolicy: needs both deadLetterTargetArn and maxReceiveCount"
        )
    return Queue(
        logical_id=logical_id,
        name=name,
        attributes={
            attribute: str(int(properties[attribute]))
            for attribute in _QUEUE_ATTRIBUTES
            if attribute in properties
        },
        dead_letter_arn=redrive.get("deadLetterTargetArn"),
        max_receive_count=int(redrive.get("maxReceiveCount", 0)),
    )


def check_dead_letters(queues: Mapping[str, Queue]) -> None:
    """Raise :class:`TemplateError` for a dead-letter queue that the template does not declare."""
    known = {queue.arn for queue in queues.values()}
    for queue in queues.values():
        if queue.dead_letter_arn is not None and queue.dead_letter_arn not in known:
            raise TemplateError(
                f"Resources.{queue.logical_id}.Properties.RedrivePolicy: "
                f"{queue.dead_letter_arn} is no queue of this template"
            )


def rule(function: str, event: str, properties: Mapping[str, Any], place: str) -> Rule:
    """Read an event of type ``Schedule``: a rule of EventBridge."""
    _refuse_others(
        properties, ("Enabled", "Input", "Name", "Schedule", "State", *_RULE_IGNORED), place
    )
    if "Enabled" in properties and "State" in properties:
        raise TemplateError(f"{place}: has both Enabled and State")
    expression = str(properties.get("Schedule", ""))
    return Rule(
        name=str(properties.get("Name", function + event)),
        function=function,
        expression=expression,
        schedule=_rate(expression, f"{place}.Schedule"),
        enabled=_enabled(properties, place),
        input=_input(properties, place),
    )


def queue_source(
    function: str, properties: Mapping[str, Any], queues: Mapping[str, Queue], place: str
) -> QueueSource:
    """Read an event of type ``SQS``."""
    known = ("BatchSize", "Enabled", "FunctionResponseTypes", "MaximumBatchingWindowInSeconds")
    _refuse_others(properties, (*known, "Queue", "ScalingConfig"), place)
    by_arn = {queue.arn: queue.logical_id for queue in queues.values()}
    if properties.get("Queue") not in by_arn:
        raise TemplateError(
            f"{place}.Queue: {properties.get('Queue')!r} is no ARN of a queue of this template"
        )
    batch_size = int(properties.get("BatchSize", 10))
    window_s = int(properties.get("MaximumBatchingWindowInSeconds", 0))
    _check_between(window_s, 0, 300, f"{place}.MaximumBatchingWindowInSeconds")
    _check_between(batch_size, 1, _LARGEST_BATCH, f"{place}.BatchSize")
    if batch_size > _LARGEST_BATCH_WITHOUT_WINDOW and not window_s:
        raise TemplateError(
            f"{place}.BatchSize: more than {_LARGEST_BATCH_WITHOUT_WINDOW} needs a"
            " MaximumBatchingWindowInSeconds of 1 at least"
        )
    concurrency = (properties.get("ScalingConfig") or {}).get("MaximumConcurrency")
    if concurrency is not None:
        _check_between(int(concurrency), 2, 1000, f"{place}.ScalingConfig.MaximumConcurrency")
    responses = properties.get("FunctionResponseTypes", [])
    if unknown := set(responses) - {"ReportBatchItemFailures"}:
        raise TemplateError(f"{place}.FunctionResponseTypes: there is no {', '.join(unknown)}")
    return QueueSource(
        queue=by_arn[properties["Queue"]],
        function=function,
        batch_size=batch_size,
        window_s=window_s,
        maximum_concurrency=None if concurrency is None else int(concurrency),
        reports_item_failures=bool(responses),
        enabled=_boolean(properties.get("Enabled", True)),
    )


def check_visibility(function: Function, queues: Mapping[str, Queue]) -> None:
    """Raise :class:`TemplateError` for a visibility timeout below the function's timeout, which
    Lambda refuses."""
    for source in function.queue_sources:
        visible_s = queues[source.queue].visibility_timeout_s
        if visible_s < function.timeout_s:
            raise TemplateError(
                f"Resources.{source.queue}.Properties.VisibilityTimeout: {visible_s} s is less"
                f" than the {function.timeout_s:g} s that {function.logical_id} may take"
            )


def event_invoke_config(properties: Mapping[str, Any], place: str) -> EventInvokeConfig:
    """Read the ``EventInvokeConfig`` of a function."""
    _refuse_others(properties, ("MaximumEventAgeInSeconds", "MaximumRetryAttempts"), place)
    retries = int(properties.get("MaximumRetryAttempts", 2))
    maximum_age_s = int(properties.get("MaximumEventAgeInSeconds", 21_600))
    _check_between(retries, 0, 2, f"{place}.MaximumRetryAttempts")
    _check_between(maximum_age_s, 60, 21_600, f"{place}.MaximumEventAgeInSeconds")
    return EventInvokeConfig(retries, maximum_age_s)


def _refuse_others(properties: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    if unknown := set(properties) - set(known):
        raise TemplateError(f"{place}: {', '.join(sorted(unknown))} does not run locally")


def _check_between(value: int, low: int, high: int, place: str) -> None:
    if not low <= value <= high:
        raise TemplateError(f"{place}: {value} is not from {low} to {high}")


def _rate(expression: str, place: str) -> Rate:
    try:
        return parse(expression)
    except ValueError as error:
        raise TemplateError(f"{place}: {error}") from None


def _enabled(properties: Mapping[str, Any], place: str) -> bool:
    state = str(properties.get("State", "ENABLED"))
    if state not in ("ENABLED", "DISABLED"):
        raise TemplateError(f"{place}.State: {state} is neither ENABLED nor DISABLED")
    return state == "ENABLED" and _boolean(properties.get("Enabled", True))


def _boolean(value: Any) -> bool:
    """Return a boolean: CloudFormation accepts the text "true" for true."""
    return str(value).lower() == "true"


def _input(properties: Mapping[str, Any], place: str) -> str | None:
    text = properties.get("Input")
    if text is None:
        return None
    try:
        json.loads(text)
    except (TypeError, ValueError):
        raise TemplateError(f"{place}.Input: is not JSON text") from None
    return str(text)
