"""DynamoDB, KMS, Secrets Manager, SQS and SES without the SDK.

The first four speak one protocol: a JSON body POSTed to ``/``, the operation in ``X-Amz-Target``,
signed with Signature Version 4; SES (API v2) has paths instead. boto3 would do the same and cost
150-250 ms of every cold start, and three times the CPU of every call (``make bench-cold-start``;
docs/decisions/0001-aws-without-sdk.md). Operations, requests and responses are those of AWS's API
references, bytes as base64 text.

Connections are kept (:mod:`.kept_connections`); throttling and AWS's own failures are retried, so a
request may arrive twice: the caller makes sure that this is harmless.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from ullgetthejob.platform import aws_credentials, settings, tracing
from ullgetthejob.platform.kept_connections import KeptConnections

# service: prefix of X-Amz-Target, version of the JSON protocol
PROTOCOLS = {
    "dynamodb": ("DynamoDB_20120810", "1.0"),
    "kms": ("TrentService", "1.1"),
    "secretsmanager": ("secretsmanager", "1.1"),
    "sqs": ("AmazonSQS", "1.0"),  # the queue is named in the body, by its URL
}
# service: its host and name in signatures, and the path of each operation
REST = {"sesv2": ("email", "ses", {"SendEmail": "/v2/email/outbound-emails"})}
# The variables with the endpoint of a single service, named as in AWS's SDKs.
ENDPOINTS = {
    "dynamodb": settings.AWS_ENDPOINT_URL_DYNAMODB,
    "kms": settings.AWS_ENDPOINT_URL_KMS,
    "secretsmanager": settings.AWS_ENDPOINT_URL_SECRETS_MANAGER,
    "sesv2": settings.AWS_ENDPOINT_URL_SESV2,
    "sqs": settings.AWS_ENDPOINT_URL_SQS,
}
TIMEOUT_S = 3  # of an attempt
ATTEMPTS = 3
BACKOFF_S = 0.05
RETRIED = frozenset(
    (
        "InternalServerError",
        "InternalServiceError",
        "KMSInternalException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionInProgressException",
    )
)


class AwsError(Exception):
    """AWS refused a request, or could not be reached (``Unreachable``).

    *code*: AWS's own, such as ``ConditionalCheckFailedException``. *content*: the whole response;
    it has the item of a failed condition if ``ReturnValuesOnConditionCheckFailure`` requested it.
    """

    def __init__(self, code: str, content: dict[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.content = content


def call(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return AWS's response to *operation*, such as ``call("dynamodb", "UpdateItem", {...})``.

    Raises :class:`AwsError`.
    """
    with tracing.span("aws", f"{service}.{operation}") as span:
        # What SES was sent, it may have accepted: the caller decides about that.
        attempts = 1 if service in REST else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                return _service_for(service).call(operation, request)
            except AwsError as error:
                is_retryable = error.code in RETRIED or error.code == "Unreachable"
                if attempt == attempts or not is_retryable:
                    span.note(error=error.code)
                    raise
            time.sleep(BACKOFF_S * 2**attempt * random.random())  # noqa: S311 - jitter, no secret
        raise AssertionError("unreachable")


def reset_connections() -> None:
    """Close all connections and drop their settings: for tests that change the environment."""
    for service in _services.values():
        service.close()
    _services.clear()


class _Service:
    """One service at one endpoint."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.region = settings.AWS_REGION()
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        host, self.signing_name, self.paths = REST.get(name, (name, name, {}))
        default = f"https://{host}.{self.region}.{suffix}"
        endpoint = ENDPOINTS[name]() or settings.AWS_ENDPOINT_URL() or default
        self._connections = KeptConnections(endpoint, connect_timeout_s=TIMEOUT_S)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        body, path = json.dumps(request).encode(), self.paths.get(operation, "/")
        headers = {"content-type": "application/json", "host": self._connections.host}
        if self.name in PROTOCOLS:
            target, version = PROTOCOLS[self.name]
            headers["content-type"] = f"application/x-amz-json-{version}"
            headers["x-amz-target"] = f"{target}.{operation}"
        try:
            sent = signed(headers, body, self.signing_name, self.region, path=path)
        except aws_credentials.CredentialsUnavailable as error:
            raise AwsError("Unreachable", {}) from error
        if (
            xray := settings._X_AMZN_TRACE_ID()
        ):  # so that X-Ray's map is connected; SQS passes it on
            sent["x-amzn-trace-id"] = xray
        deadline = time.monotonic() + TIMEOUT_S
        try:
            response = self._connections.exchange("POST", path, sent, body, deadline)
        except OSError as error:
            raise AwsError("Unreachable", {}) from error
        try:
            content = json.loads(response.body)
        except ValueError:
            content = {}
        if response.status == HTTPStatus.OK:
            return dict(content)
        kind = response.headers.get("x-amzn-errortype", "")
        code = (str(content.get("__type", "")) or kind.partition(":")[0]).rpartition("#")[2]
        if not code:
            code = "ServiceUnavailable" if response.status >= 500 else str(response.status)
        raise AwsError(code, content)

    def close(self) -> None:
        self._connections.close()


_services: dict[str, _Service] = {}


def _service_for(name: str) -> _Service:
    return _services.get(name) or _services.setdefault(name, _Service(name))


def signed(
    headers: dict[str, str],
    body: bytes,
    service: str,
    region: str,
    *,
    method: str = "POST",
    path: str = "/",
    digest: str | None = None,
) -> dict[str, str]:
    """Return *headers* (lower-case names, with ``host``) and those of AWS Signature Version 4.

    *path*: encoded once more than it is sent. *digest*: the body's, if it is known. Raises
    :class:`~ullgetthejob.platform.aws_credentials.CredentialsUnavailable`.
    """
    credentials = aws_credentials.current()
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")  # AWS compares it with real time
    headers = {**headers, "x-amz-date": moment}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    canonical = "\n".join(
        [
            *(method, path, ""),
            *(f"{name}:{headers[name]}" for name in names),
            *("", ";".join(names), digest or digest_of(body)),
        ]
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest_of(canonical.encode())}"
    key = _signing_key(credentials.secret, scope)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return headers


def digest_of(body: bytes) -> str:
    """Return the SHA-256 of *body* as signatures have it."""
    return hashlib.sha256(body).hexdigest()


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    """Return the signing key of a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
