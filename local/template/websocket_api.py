"""The WebSocket API of a template.

Properties that would not deploy, or would behave differently in the cloud, raise a
:class:`~local.template.cloudformation.TemplateError`:
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local.template.cloudformation import TemplateError
from local.template.resources import WebSocketApi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.template.resources import Function

_LIFECYCLE = ("$connect", "$disconnect", "$default")
# The name of the API and its metrics have no local equivalent.
_IGNORED = ("Description", "Name", "PropagateTags", "Tags")
_KNOWN = (
    *("AccessLogSettings", "DefaultRouteSettings", "RouteSelectionExpression"),
    *("Routes", "StageName"),
)
_THROTTLES = ("ThrottlingBurstLimit", "ThrottlingRateLimit")
_METRICS = ("DataTraceEnabled", "DetailedMetricsEnabled", "LoggingLevel")


def websocket_api(
    logical_id: str,
    properties: Mapping[str, Any],
    functions: Mapping[str, Function],
    place: str,
) -> WebSocketApi:
    """Read the API from its properties, whose references are resolved."""
    _refuse_others(properties, (*_KNOWN, *_IGNORED), place)
    expression = str(properties.get("RouteSelectionExpression", ""))
    if not re.fullmatch(r"\$request\.body(\.\w+)+", expression):
        raise TemplateError(
            f"{place}.RouteSelectionExpression: only $request.body.<name> runs locally"
        )
    stage = str(properties.get("StageName", "default"))
    if not re.fullmatch(r"[A-Za-z0-9_-]+", stage):
        raise TemplateError(f"{place}.StageName: {stage} is no name of a WebSocket API's stage")
    if not properties.get("Routes"):
        raise TemplateError(f"{place}.Routes: at least one is needed")
    by_arn = {function.arn: function.logical_id for function in functions.values()}
    throttle = properties.get("DefaultRouteSettings", {})
    _refuse_others(throttle, (*_THROTTLES, *_METRICS), f"{place}.DefaultRouteSettings")
    burst, rate = (throttle.get(name) for name in _THROTTLES)
    return WebSocketApi(
        logical_id=logical_id,
        stage=stage,
        route_selection_expression=expression,
        routes={
            key: _function(key, route, by_arn, f"{place}.Routes.{key}")
            for key, route in properties["Routes"].items()
        },
        throttle_burst=None if burst is None else int(burst),
        throttle_rate=None if rate is None else float(rate),
        access_log_format=properties.get("AccessLogSettings", {}).get("Format"),
    )


def _function(key: str, route: Mapping[str, Any], by_arn: Mapping[str, str], place: str) -> str:
    """Return the logical id of a route's function."""
    if key not in _LIFECYCLE and not (key.isascii() and key.isalnum()):
        raise TemplateError(f"{place}: a route key is alphanumeric, or one of {_LIFECYCLE}")
    _refuse_others(route, ("FunctionArn", "OperationName"), place)
    if route.get("FunctionArn") not in by_arn:
        raise TemplateError(
            f"{place}.FunctionArn: {route.get('FunctionArn')!r} is no ARN of a function"
        )
    return by_arn[route["FunctionArn"]]


def _refuse_others(properties: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    if unknown := set(properties) - set(known):
        raise TemplateError(f"{place}: {', '.join(sorted(unknown))} does not run locally")
