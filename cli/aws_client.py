"""boto3 clients, and AWS's errors as one sentence with the next step."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from cli.output import FAILED, PERSON, UNREACHABLE, USAGE, CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL_CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
CONNECT_TIMEOUT_S = 5
ATTEMPTS = 3
LOG_IN = "aws sso login, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

# Errors of botocore without an answer of AWS, by the name of their class (botocore.exceptions).
_WITHOUT_CREDENTIALS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("NoAuthTokenError", "InvalidConfigError"),
}
_EXPIRED_LOGIN = {
    *("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "SSOError"),
    *("PendingAuthorizationExpiredError", "LoginRefreshRequired", "LoginTokenLoadError"),
}
# Codes of AWS's answers (Common Error Types of the services' API references).
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_BAD_CREDENTIALS = {
    *("UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    *("InvalidAccessKeyId", "AuthFailure", "IncompleteSignature", "MissingAuthenticationToken"),
    *("InvalidSignatureException", "NotAuthorized", "OptInRequired"),
}
DENIED = {
    *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"),
    "AuthorizationErrorException",
}
_SLOW_DOWN = {
    *("Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"),
    *("RequestLimitExceeded", "RequestThrottled", "LimitExceededException"),
}
_NO_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_ACTION = re.compile(r"not authorized to perform: ([\w:-]+)")


def client(session: Any, service: str, **config: Any) -> Any:
    """Return a client of *service*; *config*: of ``botocore.config.Config``."""
    return session.client(service, config=_config(config))


def local_client(service: str, *, port: int, region: str, **config: Any) -> Any:
    """Return a client of *service* of the local AWS on *port*; *config*: as of :func:`client`."""
    import boto3

    make: Any = boto3.client  # its type knows no service by a variable
    address = f"http://127.0.0.1:{port}"
    credentials = LOCAL_CREDENTIALS
    return make(
        service, region_name=region, endpoint_url=address, config=_config(config), **credentials
    )


def session(name: str, *, region: str | None, aws_profile: str | None) -> Any:
    """Return the boto3 session of the profile *name*. Raises :class:`CommandError` without a
    region."""
    import boto3

    found = boto3.Session(region_name=region, profile_name=aws_profile)
    if not found.region_name:
        raise CommandError(
            f"the profile {name} has no region",
            "add region to it, or set AWS_DEFAULT_REGION",
            code=USAGE,
        )
    return found


def _config(changed: dict[str, Any]) -> Any:
    from botocore.config import Config

    settings = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        **changed,
    }
    return Config(**settings)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise botocore's errors as :class:`CommandError`: one sentence and the next step."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise describe(error) from None


def describe(error: Exception) -> CommandError:
    """Return an error of botocore as the error of a command."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        return _describe_answer(answer, str(getattr(error, "operation_name", "a call")))
    name = type(error).__name__
    if name in _WITHOUT_CREDENTIALS:
        return CommandError("there are no AWS credentials", LOG_IN, code=PERSON)
    if name in _EXPIRED_LOGIN:
        return CommandError("the login to AWS has expired", "aws sso login", code=PERSON)
    if name == "ProfileNotFound":
        step = "aws configure list-profiles, and compare aws_profile in the profiles' file"
        return CommandError(f"AWS's files have no such profile: {error}", step, code=USAGE)
    if name in ("NoRegionError", "InvalidRegionError"):
        step = "set region in the profile, such as eu-central-1"
        return CommandError("AWS's region is missing or misspelt", step, code=USAGE)
    if name in ("ConfigParseError", "ConfigNotFound"):
        return CommandError(f"AWS's files cannot be read: {error}", "aws configure", code=USAGE)
    if _is_of_network(error):
        step = "check the network, the region in the profile, and any proxy"
        return CommandError(f"AWS cannot be reached ({name})", step, code=UNREACHABLE)
    return CommandError(f"AWS's library refused the call: {name}", str(error)[:200], code=FAILED)


def _is_of_network(error: Exception) -> bool:
    from botocore.exceptions import ConnectionError, HTTPClientError

    return isinstance(error, HTTPClientError | ConnectionError)


def _describe_answer(answer: dict[str, Any], operation: str) -> CommandError:
    """Return the error of an answer of AWS. Its text is shortened: it may quote a whole request."""
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = " ".join(str(answer.get("Error", {}).get("Message", "")).split())
    if code in _EXPIRED:
        return CommandError("the AWS credentials have expired", LOG_IN, code=PERSON)
    if code in _BAD_CREDENTIALS:
        return CommandError(f"AWS refuses the credentials ({code})", LOG_IN, code=PERSON)
    if code in DENIED or status == 403:
        action = _ACTION.search(text)
        what = action[1] if action else operation
        step = f"let an administrator of the account permit {what}"
        message = f"these credentials may not call {what}"
        return CommandError(message, step, code=PERSON, error=code)
    if code in _SLOW_DOWN or status == 429:
        return CommandError(f"AWS is asked too often ({operation})", "try again in a minute")
    if code in _NO_QUEUE:
        return CommandError("the queue is missing", "ugtj queues list; make deploy restores it")
    if code == "ValidationError" and "does not exist" in text:
        step = "compare stack and region in the profile with: aws cloudformation list-stacks"
        return CommandError(f"AWS: {text[:200]}", step, code=USAGE)
    if status >= 500:
        return CommandError(f"AWS failed ({code}, {operation})", "try again", code=UNREACHABLE)
    return CommandError(f"AWS refused {operation}: {text[:200]} ({code})")
