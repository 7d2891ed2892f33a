"""``ugtj cloud telegram``: moto's server as AWS, the local receivers as Telegram."""

from __future__ import annotations

import json

import pytest
import yaml

from cli.commands.cloud import telegram
from local.services import UPDATE_KINDS
from tests.fixtures.operator import STACK
from tests.fixtures.receivers import BOT_TOKEN
from ullgetthejob.notifications import telegram_updates

# moto creates no AWS::ApiGateway::Account, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")
NAME = "ullgetthejob_local_bot"
API_URL = "https://core.example.org"


@pytest.fixture
def bot(operator, receivers, monkeypatch):
    """An operator who has a bot's token."""
    monkeypatch.setenv(telegram.API_URL_VARIABLE, receivers.url)
    monkeypatch.setenv("UGTJ_TELEGRAM_BOT_TOKEN", BOT_TOKEN)
    operator.write(HhUserAgent="UllGetTheJob/1.0 (me@jobs.test)")
    return operator


def stored(operator):
    vault = operator.client("secretsmanager")
    return json.loads(vault.get_secret_value(SecretId=f"{STACK}/telegram")["SecretString"])


def create_stack(operator, **values):
    template = {
        "Parameters": {name: {"Type": "String"} for name in values},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"ApiUrl": {"Value": API_URL}},
    }
    operator.client("cloudformation").create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )


def test_init_creates_the_secret_and_names_the_bot(bot):
    code, out, err = bot.run("telegram init")
    assert code == 0, err
    secret = stored(bot)
    assert secret["bot_token"] == BOT_TOKEN
    assert len(secret["webhook_secret"]) >= 32
    assert not [value for value in secret.values() if value in out + err]
    written = yaml.safe_load(bot.file.read_text())
    assert written["TelegramBotName"] == NAME
    assert written["TelegramSecretArn"].startswith("arn:aws:secretsmanager:")

    code, _, err = bot.run("telegram init")
    assert code == 0, err
    assert stored(bot) == secret


def test_webhook_is_set_with_the_secret_that_core_knows(bot, receivers):
    assert bot.run("telegram init")[0] == 0
    written = yaml.safe_load(bot.file.read_text())
    create_stack(bot, **{name: written[name] for name in ("TelegramSecretArn", "TelegramBotName")})
    code, out, err = bot.run("telegram set-webhook", "--json", file=False)
    assert code == 0, err
    info = json.loads(out)["webhook"]
    assert info["url"] == f"{API_URL}/telegram"
    assert info["allowed_updates"] == list(telegram.UPDATE_KINDS)
    assert stored(bot)["webhook_secret"] not in out + err
    assert BOT_TOKEN not in out + err


def test_stack_without_a_bot_has_no_webhook(bot):
    create_stack(bot, TelegramSecretArn="", TelegramBotName="")
    code, _, err = bot.run("telegram set-webhook", file=False)
    assert code == 1
    assert "ugtj cloud telegram init" in err


def test_unknown_token_is_refused_without_quoting_it(bot, monkeypatch):
    other = "600000002:another-token-which-no-bot-has-0000000"
    monkeypatch.setenv("UGTJ_TELEGRAM_BOT_TOKEN", other)
    code, out, err = bot.run("telegram init")
    assert code == 1
    assert "does not know the bot's token" in err
    assert other not in out + err


def test_bot_asks_for_the_updates_that_it_handles():
    fields = set(telegram_updates.Update.model_fields) - {"update_id"}
    assert set(telegram.UPDATE_KINDS) == fields == set(UPDATE_KINDS)
