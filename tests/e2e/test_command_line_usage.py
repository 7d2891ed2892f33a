"""``ugtj``: the examples of its help run as they stand, and its errors name the next step."""

import re
import shlex
import socket

import pytest
import typer

from cli import app as command_line
from migrations.seed import DEMO_USER_ID
from tests.harness.command_line import ALL_COMMANDS

APPLICATION_ID = "5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11"  # of the examples
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # of the examples
EXAMPLES = [
    match[1]
    for command in ALL_COMMANDS.values()
    if (match := re.match(r"Example: ugtj (.*?)(?:;.*)?$", command.epilog or ""))
]
GROUP_EXAMPLES = [
    match[1]
    for group in getattr(typer.main.get_command(command_line.app), "commands", {}).values()
    if hasattr(group, "commands") and group.name != "cloud"
    if (match := re.match(r"Example: ugtj (.*)$", group.epilog or ""))
]


@pytest.mark.parametrize("example", [*EXAMPLES, *GROUP_EXAMPLES])
def test_example_of_the_help_runs(ugtj, example, tmp_path, monkeypatch):
    if example.startswith(("shell", "open")):
        pytest.skip("opens a shell, or a browser: tested with all commands")
    job_id = str(ugtj.cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})["id"])
    (tmp_path / "letter.txt").write_text("Здравствуйте!")
    monkeypatch.chdir(tmp_path)
    for made_up in ("123456789", "123456790"):
        example = example.replace(made_up, job_id)
    if APPLICATION_ID in example:
        applied = ugtj.json("apply", job_id, "--wait", "60")
        example = example.replace(APPLICATION_ID, applied["application_id"])
    if TRACE in example:
        example = example.replace(TRACE, trace_of_a_request(ugtj))
    words = shlex.split(example)
    if words[0] == "listen":
        words = [*words, "--seconds", "3"]
    if words[0] == "logs":
        words = [word for word in words if word != "-f"]
    code, out, err = ugtj.run(*words)
    assert code in ((0, 1) if words[0] == "doctor" else (0,)), (example, out, err)


def trace_of_a_request(ugtj):
    """Return the id of the trace of a request of this moment."""
    import httpx

    answer = httpx.get(f"{ugtj.cloud.url}/api/v1/system/health", timeout=30)
    return answer.headers["traceparent"].split("-")[1]


# ── errors ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("job", "99999999999"), 1, "job_not_found"),
        (("applications", "show", "nothing"), 1, "Error:"),
        (("filters", "set", "{"), 2, "not JSON"),
        (("sandbox", "clock", "--advance", "soon"), 2, "no duration"),
        (("trail", "../../etc"), 2, "8 to 64"),
        (("queues", "redrive", "Queue"), 2, "ugtj queues list"),
        (("--profile", "prod", "search"), 2, "there is no profile prod"),
        (("search", "--salary", "much"), 2, "--salary"),
        (("nothing",), 2, "nothing"),
    ],
)
def test_error_has_a_code_and_a_next_step(ugtj, arguments, code, text):
    ended, out, err = ugtj.run(*arguments)
    assert (ended, out) == (code, "")
    assert text in err
    assert "Traceback" not in err


def test_unreachable_core_names_the_next_step(ugtj, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    code, _, err = ugtj.run("search", DATA_DIR=str(tmp_path), PORT=port)
    assert code == 3
    assert "make run" in err


def test_profile_of_a_deployed_core_needs_its_secret(ugtj, tmp_path):
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(f'[prod]\nurl = "{ugtj.cloud.url}"\nuser = "{DEMO_USER_ID}"\n')
    arguments = ("--profile", "prod", "rate-limit", "status")
    code, _, err = ugtj.run(*arguments, UGTJ_PROFILES=str(profiles))
    assert code == 2
    assert "UGTJ_PROD_SECRET" in err
    secret = ugtj.cloud.secrets["ORCHESTRATOR_SECRET"]
    code, out, err = ugtj.run(*arguments, UGTJ_PROFILES=str(profiles), UGTJ_PROD_SECRET=secret)
    assert code == 0, err
    assert "of 20" in out
    assert secret not in out + err
