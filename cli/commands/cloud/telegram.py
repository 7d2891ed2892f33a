"""``ugtj cloud telegram``: the bot's secret, and the webhook that Telegram sends its updates to.

The secret holds ``bot_token``, which BotFather gave, and ``webhook_secret``, which Telegram sends
with each update. Neither is printed; the address of a call to Telegram contains the token, so no
error quotes it.
"""

from __future__ import annotations

import json as json_module
import logging
import os
import re
from typing import TYPE_CHECKING, Any

import typer

from cli.aws_client import translate_errors
from cli.commands.cloud.target import (
    ParametersFile,
    Stage,
    outputs_of,
    parameters_of,
    target_of,
)
from cli.output import UNREACHABLE, USAGE, AsJson, CommandError, facts, show

if TYPE_CHECKING:
    from cli.commands.cloud.target import Target

app = typer.Typer(
    help="The Telegram bot of a stage.",
    epilog="Example: ugtj cloud telegram set-webhook --stage dev",
    no_args_is_help=True,
)

API_URL = "https://api.telegram.org"
API_URL_VARIABLE = "UGTJ_TELEGRAM_API_URL"  # another Bot API, such as one's own server
TIMEOUT_S = 30
# What the bot handles, and how many updates the function handles at once: the rest waits at
# Telegram (ReservedConcurrency of TelegramFunction in template.yaml).
UPDATE_KINDS = ("message", "callback_query", "my_chat_member")
MAX_CONNECTIONS = {"full": 2, "small": 1, "none": 2}
BOT_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]{30,}")


@app.command(epilog="Example: UGTJ_TELEGRAM_BOT_TOKEN=... ugtj cloud telegram init --stage dev")
def init(
    context: typer.Context,
    stage: Stage = "dev",
    parameters: ParametersFile = None,
    json: AsJson = False,
) -> None:
    """Create the secret of a bot that BotFather made, and write its parameters; repeatable.

    The token is read from UGTJ_TELEGRAM_BOT_TOKEN, else asked for, and is not printed.
    """
    from cli.commands.cloud import bootstrap
    from cli.commands.cloud import parameters as parameter_file

    target = target_of(context, stage, parameters)
    try:
        given = parameter_file.read_parameters(target.file)
    except parameter_file.ParametersUnreadable as error:
        raise CommandError(str(error), f"correct {target.file}", code=USAGE) from None
    done = bootstrap.Prepared(values=dict(given))
    if not done.values.get("TelegramSecretArn"):
        arn = bootstrap.ensure_secret(target, "TelegramSecretArn", done)
        done.values["TelegramSecretArn"] = arn
    secret = _read_secret(target, done.values["TelegramSecretArn"])
    name = str(call(secret["bot_token"], "getMe")["username"])
    done.values["TelegramBotName"] = name
    written = {key: value for key, value in given.items() if value}
    bootstrap.write_parameters(target, written, done.values)
    content = {"created": done.created, "existing": done.existing, "bot": name}
    lines = [f"Created {created}." for created in done.created]
    lines += [f"Found the secret {found}; it is used as it is." for found in done.existing]
    lines.append(f"The bot is @{name}. Next: ugtj cloud deploy --stage {stage}, then set-webhook")
    show(content, json, *lines)


@app.command("set-webhook", epilog="Example: ugtj cloud telegram set-webhook --stage dev")
def set_webhook(context: typer.Context, stage: Stage = "dev", json: AsJson = False) -> None:
    """Tell Telegram where the bot's updates go, and show what Telegram knows of it; repeatable."""
    target = target_of(context, stage)
    stack = target.require_stack()
    known = parameters_of(stack)
    arn, name = known.get("TelegramSecretArn", ""), known.get("TelegramBotName", "")
    if not arn or not name:
        step = f"ugtj cloud telegram init --stage {stage}, and deploy"
        raise CommandError(f"the stack {target.stack} has no Telegram bot", step)
    secret = _read_secret(target, arn)
    bot = call(secret["bot_token"], "getMe")
    if str(bot["username"]).lower() != name.lower():
        message = f"the token is of @{bot['username']}, and TelegramBotName is {name}"
        raise CommandError(message, "correct TelegramBotName, and deploy", code=USAGE)
    domain = known.get("ApiDomainName")
    url = f"https://{domain}" if domain else outputs_of(stack)["ApiUrl"]
    content = {
        "url": f"{url.rstrip('/')}/telegram",
        "secret_token": secret["webhook_secret"],
        "allowed_updates": list(UPDATE_KINDS),
        "max_connections": MAX_CONNECTIONS[known.get("Concurrency") or "full"],
    }
    call(secret["bot_token"], "setWebhook", content)
    info = call(secret["bot_token"], "getWebhookInfo")
    show({"bot": bot["username"], "webhook": info}, json, facts(f"@{bot['username']}", info))


def _read_secret(target: Target, arn: str) -> dict[str, str]:
    """Return the content of the bot's secret. Raises :class:`CommandError`."""
    from cli.commands.cloud.secret_checks import SHAPES, describe_problem

    with translate_errors():
        found = target.client("secretsmanager").get_secret_value(SecretId=arn)
    content = str(found.get("SecretString") or "")
    problem = describe_problem("TelegramSecretArn", content, SHAPES["TelegramSecretArn"])
    if problem is not None:
        step = f"aws secretsmanager put-secret-value --secret-id {arn} {target.arguments}"
        raise CommandError(f"the secret of TelegramSecretArn {problem}", step)
    return dict(json_module.loads(content))


def call(token: str, method: str, content: dict[str, Any] | None = None) -> Any:
    """Return the result of a call to the Bot API. Raises :class:`CommandError`."""
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the address
    if not BOT_TOKEN.fullmatch(token):
        raise CommandError("bot_token is not a token of BotFather's", "correct it", code=USAGE)
    base = os.environ.get(API_URL_VARIABLE) or API_URL
    try:
        url = f"{base.rstrip('/')}/bot{token}/{method}"
        answer = httpx.post(url, json=content or {}, timeout=TIMEOUT_S)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        message = f"Telegram does not answer: {type(error).__name__}"
        raise CommandError(message, "try again", code=UNREACHABLE) from None
    if body.get("ok") is True:
        return body["result"]
    description = str(body.get("description", "")).replace(token, "…")
    if answer.status_code in (401, 404):
        step = "get the token from BotFather, and store it in the secret"
        raise CommandError("Telegram does not know the bot's token", step)
    raise CommandError(f"Telegram refuses {method}: {description}")
