"""Settings of a local run: precedence, and secrets."""

import json
import re
import stat

import pytest

from local import cloud
from local.__main__ import main
from local.gateway.throttles import TokenBucket
from local.settings import (
    USER_AGENT,
    SettingsError,
    function_environments,
    generated_secrets,
    read,
)
from local.template.resources import Function, HttpApi, Template


@pytest.fixture
def settings(tmp_path):
    def make(dotenv="", **environment):
        path = tmp_path / ".env"
        path.write_text(dotenv)
        return read({"DATA_DIR": str(tmp_path / "data"), **environment}, path)

    return make


@pytest.fixture
def variables(tmp_path):
    """Return the variables of a function that declares these."""

    def make(settings, declared, **addresses):
        function = Function("F", "python3.13", "a.b", tmp_path, declared, 128, 3, None, (), ())
        template = Template({"F": function}, {}, {}, {}, HttpApi())
        return function_environments(template, settings, addresses)["F"]

    return make


def test_environment_overrides_dotenv(settings):
    assert settings("PORT=5000", PORT="6000").port == 6000
    assert settings("PORT=5000").port == 5000
    assert settings().port == 4000


def test_empty_value_counts_as_unset(settings):
    assert settings("PORT=5000", PORT="").port == 5000
    assert settings("DATABASE_URL=\nHH_API_URL=").database_url is None


def test_dotenv_values_are_taken_literally(settings):
    made = settings("DATABASE_URL='postgresql://u:p$x@h/d' # mine\nexport HH_CLIENT_ID=$HOME")

    assert made.database_url == "postgresql://u:p$x@h/d"
    assert made.given["HH_CLIENT_ID"] == "$HOME"


def test_era_is_2025_unless_it_is_chosen(settings):
    assert settings().era == "2025"
    assert settings("ERA=2026").era == "2026"
    assert settings("ERA=2026", ERA="removed-410").era == "removed-410"


@pytest.mark.parametrize("era", ["2024", "open", "Closed"])
def test_unknown_era_is_refused_by_name(settings, era):
    made = settings(ERA=era)
    with pytest.raises(SettingsError, match=r"ERA must be one of 2025, closed, .*, 2026"):
        _ = made.era


def test_era_beside_another_hh_ru_is_refused(settings):
    made = settings(ERA="2026", HH_API_URL="http://localhost:1")
    with pytest.raises(SettingsError, match="ERA is the sandbox's"):
        _ = made.era
    assert settings(HH_API_URL="http://localhost:1").era == "2025"


@pytest.mark.parametrize("command", ["run", "services"])
def test_era_of_the_command_line_wins(command, tmp_path, monkeypatch):
    started = []

    async def start(settings, *_):
        started.append(settings.era)

    monkeypatch.setattr(cloud, "run", start)
    monkeypatch.setattr(cloud, "serve_services", start)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ERA", "closed")
    assert main([command, "--era", "2026"]) == 0
    assert main([command]) == 0
    assert started == ["2026", "closed"]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "4000.0", "http", "４０００"])
def test_invalid_port_is_refused_by_name(settings, port):
    with pytest.raises(SettingsError, match="PORT must be a number from 1 to 65535"):
        settings(PORT=port)


def test_data_folder_that_cannot_be_created_is_refused(settings, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="DATA_DIR"):
        settings(DATA_DIR=str(tmp_path / "file" / "data"))


def test_real_hh_requires_a_user_agent(settings):
    with pytest.raises(SettingsError, match="HH_USER_AGENT"):
        settings(HH_API_URL="https://api.hh.ru")

    assert settings(HH_API_URL="https://api.hh.ru", HH_USER_AGENT="A/1 (a@b.c)").hh_api_url


def test_secrets_are_generated_once_and_private(tmp_path):
    made = generated_secrets(tmp_path)

    assert generated_secrets(tmp_path) == made
    assert len(set(made.values())) == 7
    assert re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]{35,}", made["TELEGRAM_BOT_TOKEN"])  # as BotFather's
    assert min(map(len, made.values())) >= 32
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_added_secret_leaves_the_others_unchanged(tmp_path):
    made = generated_secrets(tmp_path)
    without = {name: value for name, value in made.items() if name != "ADMIN_SECRET"}
    (tmp_path / "secrets.json").write_text(json.dumps(without))

    assert generated_secrets(tmp_path).items() >= without.items()
    assert generated_secrets(tmp_path)["ADMIN_SECRET"]


def test_function_environment_precedence(settings, variables):
    declared = {
        "ORCHESTRATOR_SECRET": "secretsmanager:arn",
        "ORCHESTRATOR_SECRET_PREVIOUS": "secretsmanager:arn@AWSPREVIOUS",
        "ADMIN_SECRET": "secretsmanager:arn2",
        "DATABASE_URL": "secretsmanager:db",
        "HH_USER_AGENT": "local-HhUserAgent",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    made = settings(ORCHESTRATOR_SECRET="mine", UNDECLARED="x")

    assert variables(made, declared, DATABASE_URL="postgresql://local") == {
        "ORCHESTRATOR_SECRET": "mine",
        "ORCHESTRATOR_SECRET_PREVIOUS": "",
        "ADMIN_SECRET": generated_secrets(made.data_dir)["ADMIN_SECRET"],
        "DATABASE_URL": "postgresql://local",
        "HH_USER_AGENT": USER_AGENT,
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def test_sandbox_credentials_are_not_sent_to_another_hh(settings, variables):
    declared = {"HH_CLIENT_ID": "secretsmanager:hh#client_id"}

    assert variables(settings(), declared)["HH_CLIENT_ID"]
    assert variables(settings(HH_API_URL="http://127.0.0.1:1"), declared)["HH_CLIENT_ID"] == ""


def test_redirect_uri_defaults_to_the_local_page(settings, variables):
    declared = {"HH_REDIRECT_URI": "local-HhRedirectUri", "APP_URL": ""}

    page = "http://localhost:5000/dev/connect"
    assert set(variables(settings(PORT="5000"), declared).values()) == {page}
    theirs = settings(HH_REDIRECT_URI="https://bff.example/back")
    assert set(variables(theirs, declared).values()) == {"https://bff.example/back"}
    both = settings(HH_REDIRECT_URI="https://bff.example/back", APP_URL="https://app.example")
    assert variables(both, declared)["APP_URL"] == "https://app.example"


def test_demo_user_is_on_unless_switched_off(settings):
    assert settings().demo_person == settings(DEMO_PERSON="").demo_person == "anna"
    assert settings("DEMO_PERSON=timur").demo_person == "timur"
    assert settings("DEMO_PERSON=timur", DEMO_PERSON="off").demo_person is None


def test_throttle_allows_a_burst_then_its_rate():
    now = 0.0
    bucket = TokenBucket(rate=2, burst=3, clock=lambda: now)

    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 100
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(("given", "throttled"), [("on", True), ("off", False), ("", True)])
def test_throttles_apply_unless_lifted(tmp_path, given, throttled):
    found = read({"DATA_DIR": str(tmp_path), "THROTTLES": given}, tmp_path / "none")
    assert found.throttled is throttled


def test_throttle_setting_is_on_or_off(tmp_path):
    with pytest.raises(SettingsError, match="THROTTLES"):
        _ = read({"DATA_DIR": str(tmp_path), "THROTTLES": "no"}, tmp_path / "none").throttled


@pytest.mark.parametrize(("given", "concurrency"), [("16", 16), ("", None)])
def test_concurrency_is_the_templates_unless_given(tmp_path, given, concurrency):
    found = read({"DATA_DIR": str(tmp_path), "CONCURRENCY": given}, tmp_path / "none")
    assert found.concurrency == concurrency


@pytest.mark.parametrize("given", ["0", "many", "-1", "1001", "2.5"])
def test_concurrency_is_a_positive_number(tmp_path, given):
    with pytest.raises(SettingsError, match="CONCURRENCY"):
        _ = read({"DATA_DIR": str(tmp_path), "CONCURRENCY": given}, tmp_path / "none").concurrency
