"""``ugtj cloud init``: the secrets, API Gateway's role for logs, and the file of parameters.

It can be repeated: a secret that exists is used as it is, a parameter that is written stays. What
database.yaml created is found. Secrets are generated here, or come from the environment or a hidden
prompt, and go to Secrets Manager alone: they are neither printed nor written, nor part of a
command's arguments.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.prompt import Prompt

from cli.aws_client import translate_errors
from cli.commands.cloud import parameters as parameter_file
from cli.commands.cloud.checks import UNRESERVED, check_log_role
from cli.commands.cloud.secret_checks import describe_problem, shape_of
from cli.commands.cloud.target import outputs_of
from cli.output import USAGE, CommandError, console
from local.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.commands.cloud.target import Target

GENERATED_BYTES = 48
ACCOUNT_STACK = "ullgetthejob-core-account"
NAMES = {
    "DatabaseSecretArn": "database",
    "CoreSecretArn": "core",
    "SigningSecretArn": "signing",
    "AdminSecretArn": "admin",
    "HhApplicationSecretArn": "hh",
    "TelegramSecretArn": "telegram",
}
OPTIONAL = ("TelegramSecretArn",)  # "ugtj cloud telegram init" creates it
MEANINGS = {
    "DatabaseSecretArn": "the database's connection, postgresql://user:password@host:5432/name "
    "(from the variable UGTJ_DATABASE_URL, or asked for)",
    "CoreSecretArn": "the secret that Core shares with the BFF",
    "SigningSecretArn": "the secret that signs Core's JWTs",
    "AdminSecretArn": "the administrator's secret",
    "HhApplicationSecretArn": "client_id and client_secret of the application at dev.hh.ru",
    "TelegramSecretArn": "the token of the Telegram bot, and the secret of its webhook",
}


@dataclass
class Prepared:
    """What was done: ARNs and names, no secret."""

    created: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


def prepare(target: Target, user_agent: str | None, redirect_uri: str | None) -> Prepared:
    """Create what a first deployment needs and does not find. Raises :class:`CommandError`."""
    try:
        given = parameter_file.read_parameters(target.file)
    except parameter_file.ParametersUnreadable as error:
        raise CommandError(str(error), f"correct {target.file}", code=USAGE) from None
    done = Prepared(values=find_database(target) | given)
    for name, value, meaning in (
        ("HhUserAgent", user_agent, 'a User-Agent, "Name/1.0 (mail@of.the.operator)"'),
        ("HhRedirectUri", redirect_uri, "the redirect URI registered at dev.hh.ru"),
    ):
        if name not in given:
            done.values[name] = value or _ask(meaning, f"UGTJ_{_screaming(name)}", hidden=False)
    if sentences := parameter_file.find_malformed(done.values):
        raise CommandError("; ".join(sentences), code=USAGE)
    if "Concurrency" not in given:
        done.values["Concurrency"] = choose_concurrency(target)
    for name in NAMES:
        if name not in OPTIONAL and not done.values.get(name):
            done.values[name] = ensure_secret(target, name, done)
    if check_log_role(target).verdict != "ok":
        create_account_stack(target)
        done.created.append(f"the stack {ACCOUNT_STACK}")
    write_parameters(target, given, done.values)
    return done


def find_database(target: Target) -> dict[str, str]:
    """Return the outputs of the stage's stack of database.yaml, which are named like parameters;
    none without such a stack."""
    stack = replace(target, stack=f"{target.stack}-database").describe_stack()
    return {} if stack is None else outputs_of(stack)


def choose_concurrency(target: Target) -> str:
    """Return the largest value of ``Concurrency`` that fits the account."""
    with translate_errors():
        limits = target.client("lambda").get_account_settings()["AccountLimit"]
    free = int(limits["UnreservedConcurrentExecutions"]) - UNRESERVED
    columns = parameter_file.concurrency_columns()
    return next(size for size in ("full", "small", "none") if columns[size] <= max(0, free))


def ensure_secret(target: Target, name: str, done: Prepared) -> str:
    """Return the ARN of the secret of a parameter; create it if there is none."""
    from botocore.exceptions import ClientError

    client = target.client("secretsmanager")
    secret_name = f"{target.stack}/{NAMES[name]}"
    with translate_errors():
        try:
            found = client.describe_secret(SecretId=secret_name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        else:
            if found.get("DeletedDate"):
                step = f"aws secretsmanager restore-secret --secret-id {secret_name} "
                message = f"the secret {secret_name} is marked for deletion"
                raise CommandError(message, step + target.arguments)
            done.existing.append(secret_name)
            return str(found["ARN"])
    content = CONTENTS[name]()
    if problem := describe_problem(name, content, shape_of(name, done.values)):
        raise CommandError(f"{MEANINGS[name]}: the value {problem}", code=USAGE)
    with translate_errors():
        made = client.create_secret(
            Name=secret_name,
            Description=f"UllGetTheJob Core, {target.stage}: {MEANINGS[name].partition(' (')[0]}",
            SecretString=content,
            Tags=[
                {"Key": "project", "Value": "ullgetthejob-core"},
                {"Key": "stage", "Value": target.stage},
            ],
        )
    done.created.append(f"the secret {secret_name}")
    return str(made["ARN"])


def generate_secret() -> str:
    """Return a new random secret, fit for a URL."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def _ask_database() -> str:
    return _ask(MEANINGS["DatabaseSecretArn"], "UGTJ_DATABASE_URL", hidden=True)


def ask_application() -> str:
    """Return the content of hh.ru's secret: ``client_id`` and ``client_secret``, as JSON."""
    fields = {
        key: _ask(f"{key} of the application at dev.hh.ru", f"UGTJ_HH_{key.upper()}", hidden=True)
        for key in ("client_id", "client_secret")
    }
    return json.dumps(fields)


def ask_bot() -> str:
    """Return the content of the bot's secret: BotFather's token, and a new secret of the webhook,
    as JSON."""
    token = _ask("the token of the bot, from BotFather", "UGTJ_TELEGRAM_BOT_TOKEN", hidden=True)
    return json.dumps({"bot_token": token, "webhook_secret": generate_secret()})


CONTENTS: dict[str, Callable[[], str]] = {
    "DatabaseSecretArn": _ask_database,
    "CoreSecretArn": generate_secret,
    "SigningSecretArn": generate_secret,
    "AdminSecretArn": generate_secret,
    "HhApplicationSecretArn": ask_application,
    "TelegramSecretArn": ask_bot,
}


def _ask(meaning: str, variable: str, *, hidden: bool) -> str:
    """Return a value from the environment, else from a prompt. Raises :class:`CommandError`
    without a terminal."""
    if value := os.environ.get(variable):
        return value
    if not sys.stdin.isatty():
        raise CommandError(f"{meaning} is not known", f"set {variable}", code=USAGE)
    return Prompt.ask(meaning, password=hidden, console=console(stderr=True)).strip()


def _screaming(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name)[1:]


def create_account_stack(target: Target) -> None:
    """Create the stack with API Gateway's role for logs, and wait for it. Raises
    :class:`CommandError`."""
    client = target.client("cloudformation")
    with translate_errors():
        client.create_stack(
            StackName=ACCOUNT_STACK,
            TemplateBody=(REPOSITORY / "account.yaml").read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": "project", "Value": "ullgetthejob-core"}],
        )
        client.get_waiter("stack_create_complete").wait(StackName=ACCOUNT_STACK)


def write_parameters(target: Target, given: dict[str, str], values: dict[str, Any]) -> None:
    """Write the complete file; to one that exists, add what it lacks and change nothing."""
    if not target.file.exists():
        target.file.write_text(parameter_file.render(values, target.stage), "utf-8")
        return
    missing = {name: value for name, value in values.items() if name not in given}
    if missing:
        text = target.file.read_text("utf-8").rstrip("\n")
        lines = [
            f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in missing.items()
        ]
        target.file.write_text("\n".join([text, *lines, ""]), "utf-8")
