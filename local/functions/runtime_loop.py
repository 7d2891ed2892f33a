"""The Lambda runtime client in plain Python, where ``awslambdaric`` has no wheel (as on macOS).

It uses the same Runtime API and reports the same errors; a function observes no difference,
except that it is slower.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_RUNTIME = "/2018-06-01/runtime"


class Context:
    """The second argument of a handler."""

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the invocation times out."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)


class _InitError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(arguments: list[str]) -> NoReturn:
    """Serve invocations of the handler ``arguments[1]`` for ever."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    _log_to_stdout()
    try:
        handler = _load(arguments[1])
    except _InitError as error:
        _fail_init(connection, _error(error, error.kind))
    except Exception as error:
        _fail_init(connection, _error(error))
    while True:
        _serve_invocation(connection, handler)


def _serve_invocation(connection: http.client.HTTPConnection, handler: Callable[..., Any]) -> None:
    connection.request("GET", f"{_RUNTIME}/invocation/next")
    response = connection.getresponse()
    body = response.read()
    context = Context(response.headers)
    if trace := response.headers["Lambda-Runtime-Trace-Id"]:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    place = f"{_RUNTIME}/invocation/{context.aws_request_id}"
    try:
        result = json.dumps(handler(json.loads(body), context), default=_encode, ensure_ascii=False)
    except Exception as error:
        report = _error(error)
        _log(report)
        _post(connection, f"{place}/error", report, report["errorType"])
    else:
        _post(connection, f"{place}/response", result.encode())


def _load(name: str) -> Callable[..., Any]:
    module_name, _, function = name.rpartition(".")
    if not module_name:
        raise _InitError("Runtime.MalformedHandlerName", f"Bad handler '{name}'")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise _InitError("Runtime.ImportModuleError", message) from None
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise _InitError("Runtime.UserCodeSyntaxError", message) from None
    if not hasattr(module, function):
        message = f"Handler '{function}' missing on module '{module_name}'"
        raise _InitError("Runtime.HandlerNotFound", message)
    handler: Callable[..., Any] = getattr(module, function)
    return handler


def _fail_init(connection: http.client.HTTPConnection, report: dict[str, Any]) -> NoReturn:
    _log(report)
    _post(connection, f"{_RUNTIME}/init/error", report, report["errorType"])
    sys.exit(1)


def _error(error: Exception, kind: str | None = None) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    return {
        "errorMessage": str(error),
        "errorType": kind or type(error).__name__,
        "stackTrace": [] if kind else traceback.format_list(own),
    }


def _post(
    connection: http.client.HTTPConnection, place: str, body: Any, error_type: str | None = None
) -> None:
    headers = {"Content-Type": "application/json"}
    if error_type:
        headers["Lambda-Runtime-Function-Error-Type"] = error_type
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", place, data, headers)
    connection.getresponse().read()


def _log(report: dict[str, Any]) -> None:
    lines = [f"[ERROR] {report['errorType']}: {report['errorMessage']}", *report["stackTrace"]]
    print("\n".join(line.rstrip() for line in lines), flush=True)


def _log_to_stdout() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s", "%FT%T")
    )
    logging.getLogger().addHandler(handler)


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
