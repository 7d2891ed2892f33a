"""The checks before a deployment: each problem is one sentence, with the command that mends it.

Nothing is built or changed. What AWS does not answer is a finding too, never a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.aws_client import DENIED, translate_errors
from cli.commands.cloud import parameters as parameter_file
from cli.commands.cloud.secret_checks import check_secrets
from cli.commands.cloud.target import parameters_of
from cli.doctor.checks import Finding
from cli.output import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.commands.cloud.target import Target

UNRESERVED = 100  # Lambda keeps this much of an account's concurrency for functions without any
CONCURRENCY_QUOTA = "L-B99A9384"  # "Concurrent executions" in Service Quotas
PLACEHOLDERS = ("example.org", "example.com", "localhost", "127.0.0.1")
# An earlier stack in one of these states takes no deployment; any *_IN_PROGRESS neither.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
DELETE_FIRST = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
CONTINUE_FIRST = ("UPDATE_ROLLBACK_FAILED", "UPDATE_FAILED")
ONLY_PLANNED = "REVIEW_IN_PROGRESS"  # a change set that was never executed


def check(target: Target) -> list[Finding]:
    """Return what the checks found, in the order in which an operator mends it."""
    try:
        given = parameter_file.read_parameters(target.file)
    except parameter_file.ParametersUnreadable as error:
        return [Finding("parameters", "problem", str(error), f"correct {target.file.name}")]
    account = check_account(target)
    if account.verdict == "problem":
        return [account, *check_given(target, given)]
    stack: dict[str, Any] | None = None
    try:
        stack = target.describe_stack()
        findings = [account, check_stack(target, stack)]
    except CommandError as error:
        findings = [account, Finding("stack", _verdict_of(error), str(error), error.step)]
    remembered = parameters_of(stack)
    parameters = parameter_file.effective(given, remembered)
    findings += check_parameters(target, given, remembered)
    findings.append(_guarded("concurrency", lambda: check_concurrency(target, parameters, stack)))
    findings.append(_guarded("api gateway", lambda: check_log_role(target)))
    try:
        findings += check_secrets(target, parameters)
    except CommandError as error:
        findings.append(Finding("secrets", _verdict_of(error), str(error), error.step))
    return findings


def _guarded(name: str, run: Callable[[], Finding]) -> Finding:
    """Return what *run* finds, or the refusal of AWS as a finding."""
    try:
        return run()
    except CommandError as error:
        return Finding(name, _verdict_of(error), str(error), error.step)


def _verdict_of(error: CommandError) -> Any:
    """Return "warning" for what these credentials may not look at: the deployment's may differ."""
    return "warning" if error.error in DENIED else "problem"


def check_account(target: Target) -> Finding:
    """Check that there is a region, and that AWS takes the credentials."""
    try:
        region = target.region
        with translate_errors():
            who = target.client("sts").get_caller_identity()
    except CommandError as error:
        return Finding("account", "problem", str(error), error.step)
    return Finding("account", "ok", f"AWS account {who['Account']}, {region}")


def check_stack(target: Target, stack: Mapping[str, Any] | None) -> Finding:
    """Check that the stack takes a deployment."""
    if stack is None:
        return Finding("stack", "ok", f"{target.stack} is new")
    status = str(stack["StackStatus"])
    if status == ONLY_PLANNED:
        return Finding("stack", "ok", f"{target.stack} has a change set that was never executed")
    wait = f"aws cloudformation wait stack-{_kind_of(status)}-complete --stack-name {target.stack}"
    if status.endswith("_IN_PROGRESS"):
        message = f"a deployment of {target.stack} is already running ({status})"
        return Finding("stack", "problem", message, f"{wait} {target.arguments}")
    if status in DELETE_FIRST:
        message = f"the earlier stack {target.stack} is in {status}, which takes no update"
        return Finding("stack", "problem", message, f"ugtj cloud destroy --stage {target.stage}")
    if status in CONTINUE_FIRST:
        verb = "continue-update-rollback" if "ROLLBACK" in status else "rollback-stack"
        step = f"aws cloudformation {verb} --stack-name {target.stack} {target.arguments}"
        return Finding("stack", "problem", f"the stack {target.stack} is in {status}", step)
    return Finding("stack", "ok", f"{target.stack} is in {status}")


def _kind_of(status: str) -> str:
    if "ROLLBACK" in status:
        return "rollback"
    return next((k for k in ("create", "delete") if status.startswith(k.upper())), "update")


def check_parameters(
    target: Target, given: Mapping[str, str], remembered: Mapping[str, str]
) -> list[Finding]:
    """Check the file of parameters against the template, and hh.ru's registration in it."""
    findings = check_given(target, given)
    if missing := parameter_file.find_missing(given, remembered):
        names = ", ".join(missing)
        if not target.file.exists():
            message = f"there is no {target.file.name}, and a first deployment needs {names}"
        else:
            message = f"{target.file.name} lacks {names}"
        step = f"ugtj cloud init --stage {target.stage}"
        findings.append(Finding("parameters", "problem", message, step))
    findings += check_registration(target, parameter_file.effective(given, remembered))
    return findings or [Finding("parameters", "ok", "the parameters are complete")]


def check_given(target: Target, given: Mapping[str, str]) -> list[Finding]:
    """Check what the file says by itself: unknown names and values that cannot be."""
    name = target.file.name
    findings = [
        Finding("parameters", "problem", f"{name}: {sentence}", f"{step} in {name}")
        for sentence, step in parameter_file.find_unknown(given)
    ]
    return findings + [
        Finding("parameters", "problem", f"{name}: {sentence}", f"correct it in {name}")
        for sentence in parameter_file.find_malformed(given)
    ]


def check_registration(target: Target, parameters: Mapping[str, str]) -> list[Finding]:
    """Check that the application's data at hh.ru is the operator's own, not the example's."""
    findings = []
    for name, what in (
        ("HhUserAgent", "the address under which hh.ru reaches the operator"),
        ("HhRedirectUri", "the redirect URI that is registered at dev.hh.ru"),
    ):
        value = parameters.get(name, "")
        if any(placeholder in value for placeholder in PLACEHOLDERS):
            step = f"write {what} in {target.file.name}"
            message = f"{name} is {value}, and hh.ru needs the operator's own"
            findings.append(Finding("hh.ru", "problem", message, step))
    return findings


def check_concurrency(
    target: Target, parameters: Mapping[str, str], stack: Mapping[str, Any] | None
) -> Finding:
    """Compare what the functions reserve with what the account may still reserve."""
    columns = parameter_file.concurrency_columns()
    needed = columns.get(parameters["Concurrency"], 0)
    with translate_errors():
        limits = target.client("lambda").get_account_settings()["AccountLimit"]
    own = 0
    if stack is not None and stack["StackStatus"] not in (*DELETE_FIRST, ONLY_PLANNED):
        # A stack of a release without the parameter reserves as the column "full".
        own = columns.get(parameters_of(dict(stack)).get("Concurrency", "full"), 0)
    limit = int(limits["ConcurrentExecutions"])
    free = max(0, int(limits["UnreservedConcurrentExecutions"]) + own - UNRESERVED)
    if needed <= free:
        message = f"{needed} of the account's concurrency of {limit} are reserved, {free} can be"
        return Finding("concurrency", "ok", message)
    fitting = next(size for size in ("full", "small", "none") if columns[size] <= free)
    message = (
        f"the functions reserve {needed} of Lambda's concurrency, and this account can reserve "
        f"{free} of its {limit} in {target.region} ({UNRESERVED} stay unreserved)"
    )
    step = (
        f"write Concurrency: {fitting} in {target.file.name}, or: aws service-quotas "
        f"request-service-quota-increase --service-code lambda --quota-code {CONCURRENCY_QUOTA} "
        f"--desired-value {limit + needed - free} {target.arguments}"
    )
    return Finding("concurrency", "problem", message, step)


def check_log_role(target: Target) -> Finding:
    """Check that API Gateway has a role for logs: without one the WebSocket API's stage, which has
    an access log, cannot be created.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
    """
    with translate_errors():
        role = target.client("apigateway").get_account().get("cloudwatchRoleArn")
    if role:
        return Finding("api gateway", "ok", "API Gateway may write logs")
    message = f"API Gateway has no role to write logs with in {target.region}"
    return Finding("api gateway", "problem", message, f"ugtj cloud init --stage {target.stage}")
