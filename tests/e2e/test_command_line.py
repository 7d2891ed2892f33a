"""``ugtj``: every command, recursively, against a running local cloud; its JSON; its examples."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from cli import app as command_line
from tests.fixtures.local_cloud import ROOT, new_cloud, remove
from tests.harness.notifying import WebhookReceiver

DEMO = "00000000-0000-4000-8000-000000000001"
APPLICATION_ID = "5b0f6f0e-7f3b-4df0-9d1f-2f9a4b6f3c11"  # of the examples
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # of the examples
TEXT, NUMBER, YES_NO, ANY = str, (int, float), bool, object


class Ugtj:
    """The command line, with the local cloud *cloud*."""

    def __init__(self, cloud, capsys=None):
        self.cloud = cloud
        self.capsys = capsys
        self.environment = {
            "DATA_DIR": str(cloud.data_dir),
            "PORT": str(cloud.port),
            "UGTJ_PROFILES": str(cloud.data_dir / "no-profiles.toml"),
        }

    def run(self, *arguments, **environment):
        """Return exit code, standard output and standard error of ``ugtj`` *arguments*."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                command_line.main(list(arguments))
            out, err = self.capsys.readouterr()
        return ended.value.code, out, err

    def json(self, *arguments, code=0, **environment):
        """Return the JSON that ``ugtj`` *arguments* ``--json`` prints."""
        ended, out, err = self.run(*arguments, "--json", **environment)
        assert ended == code, (arguments, out, err)
        return json.loads(out)


@pytest.fixture(scope="module")
def cloud():
    own = new_cloud()
    own.settings = {"SANDBOX_AUTO_LOGIN": "anna", "DEMO_PERSON": "anna"}
    try:
        own.start()
        yield own
    finally:
        remove(own)


@pytest.fixture
def ugtj(cloud, capsys):
    return Ugtj(cloud, capsys)


@pytest.fixture
def connected(ugtj):
    """Wait until the demo user is connected, and return the command line."""
    for _ in range(100):
        if ugtj.json("people", "show")["account"]["connected"]:
            return ugtj
    raise AssertionError("the demo user is not connected")


def commands(group=None, path=()):
    """Yield the words of each command, recursively, with its click command."""
    group = group or typer.main.get_command(command_line.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


# "ugtj cloud" works on AWS, and is tested with moto's: tests/integration/test_cloud_check.py, …
ALL_COMMANDS = {" ".join(words): command for words, command in commands() if words[0] != "cloud"}


def holds(shape, content, where="answer"):
    """Check JSON against a shape: types, dicts of shapes, lists of one shape; ``None`` is allowed
    where a tuple has it."""
    if isinstance(shape, dict):
        assert isinstance(content, dict), where
        for name, inner in shape.items():
            assert name in content, f"{where}.{name} is missing"
            holds(inner, content[name], f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(content, list), where
        for number, item in enumerate(content):
            holds(shape[0], item, f"{where}[{number}]")
    else:
        assert isinstance(content, shape), f"{where} is {content!r}"


MAYBE_TEXT, MAYBE_NUMBER, MAYBE_OBJECT = (
    (str, type(None)),
    (int, float, type(None)),
    (dict, type(None)),
)
JOB = {"hh_vacancy_id": TEXT, "title": TEXT, "company": MAYBE_TEXT, "salary": MAYBE_TEXT}
RUN = {"state": TEXT, "found": MAYBE_NUMBER, "new": NUMBER, "started_at": TEXT}
SEARCH = {"id": TEXT, "name": TEXT, "paused": YES_NO, "interval_seconds": NUMBER}
APPLICATION = {"application_id": TEXT, "job_id": TEXT, "state": TEXT, "reason": MAYBE_TEXT}
CAMPAIGN = {"workflow_id": TEXT, "status": TEXT, "message": TEXT}
LIMIT = {"tokens": NUMBER, "capacity": NUMBER, "applications_today": NUMBER, "can_apply": YES_NO}
QUEUE = {"name": TEXT, "visible": NUMBER, "in_flight": NUMBER, "dead_letters_of": MAYBE_TEXT}
CHANNEL = {"id": TEXT, "kind": TEXT, "hint": TEXT, "state": TEXT, "reason": MAYBE_TEXT}
RAISE = {"resume_id": TEXT, "schedule": {"mode": TEXT}, "outcome": (str, type(None))}
FINDING = {"check": TEXT, "verdict": TEXT, "message": TEXT, "step": TEXT}
SHAPES = {
    "search": {"found": NUMBER, "page": NUMBER, "pages": NUMBER, "jobs": [JOB]},
    "job": {"job": {**JOB, "description": MAYBE_TEXT}},
    "fit": {"score": NUMBER, "reasons": [{"part": TEXT, "ru": TEXT}], "resume_id": TEXT},
    "import": {"links": [{"link": TEXT, "vacancies": [{"job_id": TEXT}]}], "stored": NUMBER},
    "schedules list": {"items": [{**SEARCH, "last_run": MAYBE_OBJECT}]},
    "schedules add": SEARCH,
    "schedules show": SEARCH,
    "schedules edit": SEARCH,
    "schedules pause": SEARCH,
    "schedules fetch": {"run": RUN},
    "schedules matches": {"items": [dict], "found": NUMBER, "page": NUMBER, "per_page": NUMBER},
    "schedules rm": {"success": YES_NO},
    "apply": {"application_id": TEXT, "state": TEXT, "job_id": TEXT},
    "applications list": {"found": NUMBER, "items": [APPLICATION]},
    "applications show": {"application": {**APPLICATION, "history": [{"at": TEXT, "state": TEXT}]}},
    "applications confirm": {"application": APPLICATION},
    "applications cancel": {"application": APPLICATION},
    "applications retry": {"application": APPLICATION},
    "applications messages": {"items": [{"author": TEXT, "text": TEXT, "state": TEXT}]},
    "applications reply": {"message": {"state": TEXT}, "findings": [dict], "is_checked": YES_NO},
    "campaigns add": {**CAMPAIGN, "queued_count": NUMBER},
    "campaigns show": {"total": NUMBER, "submitted": NUMBER, "items": [{"job_external_id": TEXT}]},
    "campaigns start": CAMPAIGN,
    "campaigns pause": CAMPAIGN,
    "campaigns resume": CAMPAIGN,
    "campaigns cancel": CAMPAIGN,
    "filters show": {"rules": {}},
    "filters set": {"rules": {}},
    "filters preview": {"checked": NUMBER, "jobs": [{"job_id": TEXT, "verdict": TEXT}]},
    "letters list": {"items": [{"id": TEXT, "name": TEXT}], "placeholders": {}},
    "letters add": {"id": TEXT, "text": TEXT},
    "letters edit": {"id": TEXT, "text": TEXT},
    "letters rm": {"success": YES_NO},
    "letters preview": {"letter": TEXT, "findings": [{"rule": TEXT}]},
    "letters check": {"findings": [{"rule": TEXT, "text": TEXT}]},
    "notifications show": {
        "settings": {"time_zone": TEXT},
        "channels": [CHANNEL],
        "recent": [{"kind": TEXT, "state": TEXT}],
    },
    "notifications channels": {"items": [CHANNEL]},
    "notifications test": {"notification_id": TEXT},
    "reviews list": {"items": [{"application_id": TEXT, "letter_hash": TEXT, "findings": [dict]}]},
    "reviews approve": {"items": [{"application_id": TEXT, "state": TEXT}]},
    "reviews edit": {"application_id": TEXT, "letter_hash": TEXT, "findings": [dict]},
    "reviews reject": {"items": [{"application_id": TEXT, "state": TEXT}]},
    "resumes show": RAISE,
    "resumes raise": RAISE,
    "resumes schedule": RAISE,
    "stats": {"all": {"stages": [{"stage": TEXT, "count": MAYBE_NUMBER}]}, "groups": [dict]},
    "rate-limit status": LIMIT,
    "rate-limit check": {"allowed": YES_NO},
    "rate-limit reset": {"tokens": NUMBER},
    "people connect": {"user_id": TEXT, "person": TEXT},
    "people list": {"people": [{"user_id": TEXT, "access": TEXT, "applications": NUMBER}]},
    "people show": {"account": {"user_id": TEXT, "connected": YES_NO}},
    "people pause": {"paused_at": TEXT, "campaigns": NUMBER},
    "people resume": {"user_id": TEXT, "autopilot_paused_at": MAYBE_TEXT},
    "people handoff-link": {"url": TEXT, "expires_at": TEXT},
    "people export": {"user_id": TEXT, "file": TEXT, "lines": {"users": NUMBER}},
    "people delete": {"user_id": TEXT, "status": TEXT},
    "queues list": {"queues": [QUEUE]},
    "queues show": {"queue": TEXT, "messages": [{"id": TEXT, "body": TEXT, "receives": NUMBER}]},
    "queues redrive": {"queue": TEXT, "sent_again": NUMBER},
    "db status": {"revision": MAYBE_TEXT, "newest": TEXT, "pending": YES_NO},
    "db migrate": {"report": TEXT},
    "db rollback": {"report": TEXT},
    "db seed": {"new_rows": NUMBER},
    "sandbox state": {"clock": {"now": TEXT}, "era": TEXT, "mode": TEXT},
    "sandbox clock": {"now": TEXT, "rate": NUMBER},
    "sandbox fault": {},
    "sandbox employer": {},
    "sandbox mode": {"mode": TEXT},
    "sandbox era": {"era": TEXT},
    "trail": {"id": TEXT, "lines": [{"source": TEXT, "message": TEXT, "trace_id": TEXT}]},
    "open": {"url": TEXT},
    "secret": {"ORCHESTRATOR_SECRET": TEXT, "ADMIN_SECRET": TEXT, "SECRET_KEY_BASE": TEXT},
    "doctor": {"problems": NUMBER, "findings": [FINDING]},
}
# Commands that print a line of JSON for each thing, or none; tested by themselves below.
OF_LINES = {"listen", "logs", "shell"}


def test_every_command_has_a_shape():
    assert set(SHAPES) | OF_LINES == set(ALL_COMMANDS)
    assert all(("json" in [p.name for p in c.params]) == (n != "shell")
               for n, c in ALL_COMMANDS.items())  # fmt: skip


def receive_notification(ugtj, run):
    """Add a webhook, and receive what tests it through the queue and the worker."""
    receiver = WebhookReceiver()
    try:
        body = {"user_id": DEMO, "kind": "webhook", "url": receiver.url}
        with ugtj.cloud.client(ugtj.cloud.secrets["ORCHESTRATOR_SECRET"]) as client:
            added = client.post("/api/notifications/channels", json=body)
        assert added.status_code == 201, added.text
        [channel] = run("notifications channels")["items"]
        planned = run("notifications test", channel["id"])["notification_id"]
        ends = time.monotonic() + 60
        while not receiver.ids and time.monotonic() < ends:
            time.sleep(0.1)
        assert receiver.ids == [planned]
    finally:
        receiver.stop()
    assert run("notifications show")["channels"] == [channel]


def review_applications(ugtj, run, template, first, second):
    """Apply with a template; approve one application twice, and reject the other."""
    options = ("--template", template, "--review", "always", "--wait", "60")
    ids = [run("apply", job_id, *options)["application_id"] for job_id in (first, second)]
    shown = {item["application_id"]: item for item in run("reviews list")["items"]}
    assert shown[ids[0]]["letter"] == "О вакансии Бухгалтер"
    edited = run("reviews edit", ids[0], "Здравствуйте! Меня интересует место бухгалтера у вас.")
    for _ in range(2):
        answer = run("reviews approve", ids[0], "--letter-hash", edited["letter_hash"])
        assert answer["items"][0]["error"] is None
    assert run("reviews reject", ids[1])["items"][0]["state"] == "cancelled"
    assert run("apply", first, *options)["state"] == "submitted"  # the same, which is waited for
    sent = ugtj.json("applications", "show", ids[0])["application"]
    assert sent["cover_letter"] == edited["letter"]


def run_all(ugtj):
    """Run every command with JSON, and check its shape; return the names of those that ran."""
    ran = []

    def run(name, *arguments, **options):
        answer = ugtj.json(*name.split(), *arguments, **options)
        holds(SHAPES[name], answer, name)
        ran.append(name)
        return answer

    def vacancy(**fields):
        made = ugtj.cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер", **fields})
        return str(made["id"])

    ugtj.cloud.sandbox("POST", "/employers", {"act": False})
    job_id = vacancy()
    assert run("search", "бухгалтер", "--area", "1", "--per-page", "5")["jobs"]
    assert run("job", job_id)["job"]["title"] == "Бухгалтер"
    assert 0 <= run("fit", job_id)["score"] <= 100
    anna = ugtj.cloud.sandbox("GET", "/people")["people"][0]
    titles = {own["title"]: own["id"] for own in anna["resumes"]}
    resume = titles["Backend-инженер"]  # the examples of the help are about the other one
    assert run("resumes raise", resume)["outcome"] == "raised"
    assert run("resumes schedule", resume, "--at", "09:00")["schedule"]["times"] == ["09:00"]
    assert run("resumes show", resume)["scheduled_at"]
    template = run("letters add", "Короткое", "Вакансия {{ vacancy.title }}")["id"]
    assert template in {item["id"] for item in run("letters list")["items"]}
    run("letters edit", template, "Короткое", "О вакансии {{ vacancy.title }}")
    made = run("letters preview", job_id, "О вакансии {{ vacancy.title }}")
    assert made["letter"] == "О вакансии Бухгалтер"
    assert run("letters check", job_id, "Здравствуйте, [имя]!")["findings"]
    review_applications(ugtj, run, template, vacancy(), vacancy())
    run("letters rm", template)
    receive_notification(ugtj, run)
    saved = run("schedules add", "бухгалтер", "--every", "3600", "--name", "Мой поиск")
    assert saved["id"] in {item["id"] for item in run("schedules list")["items"]}
    assert run("schedules show", saved["id"])["name"] == "Мой поиск"
    assert run("schedules edit", saved["id"], "--name", "Другой")["name"] == "Другой"
    assert run("schedules pause", saved["id"])["paused"]
    assert not run("schedules pause", saved["id"], "--off")["paused"]
    assert run("schedules fetch", saved["id"])["run"]["state"] in (
        "completed",
        "partial",
        "running",
    )
    assert run("schedules matches", saved["id"])["items"] is not None
    run("schedules rm", saved["id"])
    links = [f"https://hh.ru/vacancy/{vacancy()}?from=share", "https://example.org/vacancy/1"]
    imported = run("import", *links, "--apply")
    assert [own["error"] for own in imported["links"]] == [None, "not_hh"]
    tried = ugtj.json("campaigns", "start", imported["campaign"]["workflow_id"], "--dry-run")
    assert [row["would"] for row in tried["rows"]] == ["apply_now"]
    tried = ugtj.json("apply", job_id, "--letter", "Здравствуйте!", "--dry-run")
    assert (tried["would"], len(tried["gates"])) == ("apply_now", 9)
    applied = run("apply", job_id, "--letter", "Здравствуйте!", "--wait", "60")
    assert applied["state"] == "submitted"
    id = applied["application_id"]
    assert id in {item["application_id"] for item in run("applications list")["items"]}
    assert run("applications show", id)["application"]["history"]
    assert any(line["message"] == "application changed" for line in run("trail", id)["lines"])
    for _ in range(2):
        replied = run("applications reply", id, "Спасибо, мне удобно. Пишите на a@b.example")
    assert [finding["rule"] for finding in replied["findings"]] == ["contact"]
    shown = run("applications messages", id)["items"]
    assert [item["message_id"] for item in shown] == [replied["message"]["message_id"]]
    external = run("apply", vacancy(refusal="test_required"), "--wait", "60")
    assert external["state"] in ("needs_person", "handoff")
    run("applications confirm", external["application_id"])
    refused = run("apply", vacancy(refusal="invalid_vacancy"), "--wait", "60")
    assert refused["state"] == "refused"
    run("applications retry", refused["application_id"], "--letter", "Ещё раз")
    flow = run("campaigns add", vacancy(), vacancy(), "--letter", "Добрый день!")["workflow_id"]
    run("campaigns start", flow)
    run("campaigns pause", flow)
    run("campaigns resume", flow)
    assert run("campaigns show", flow)["total"] == 2
    run("campaigns cancel", flow)
    run("filters set", '{"title_words": ["C++"]}')
    assert run("filters show")["rules"]["title_words"] == ["C++"]
    run("filters preview", job_id)
    run("filters set", "{}")
    run("stats", "--by", "hour")
    assert ugtj.json("stats", "--silent")["items"] == []
    results = ugtj.cloud.data_dir / "results.csv"
    assert ugtj.json("stats", "--csv", str(results))["rows"] >= 1
    assert id in results.read_text("utf-8-sig")
    assert run("rate-limit status")["capacity"] == 20
    assert run("rate-limit check")["allowed"]
    assert run("rate-limit reset")["tokens"] == 20
    other = run("people connect", "timur")["user_id"]
    assert other in {row["user_id"] for row in run("people list")["people"]}
    assert run("people show", "--user", other)["account"]["connected"]
    paused_at = run("people pause", "--user", other, "--all")["paused_at"]
    assert (
        ugtj.json("people", "show", "--user", other)["account"]["autopilot_paused_at"] == paused_at
    )
    assert run("people resume", "--user", other, "--all")["autopilot_paused_at"] is None
    assert "/handoff/" in run("people handoff-link", other)["url"]
    archive = str(ugtj.cloud.data_dir / "timur.zip")
    assert run("people export", "--user", other, "--output", archive)["lines"]["accounts"] == 1
    assert ugtj.run("people", "export", "--user", other, "--output", archive)[0] == 1  # it exists
    assert ugtj.run("people", "delete", "--user", other)[0] == 2  # there is no terminal to ask at
    run("people delete", "--user", other, "--yes")
    assert other not in {row["user_id"] for row in ugtj.json("people", "list")["people"]}
    for _ in range(100):
        if not ugtj.cloud.query("SELECT id FROM accounts WHERE deletion_due_at IS NOT NULL"):
            break
        time.sleep(0.2)
    assert ugtj.cloud.query("SELECT id FROM accounts WHERE deletion_due_at IS NOT NULL") == []
    run("sandbox state")
    run("sandbox clock", "--advance", "1m")
    run("sandbox fault", "captcha", "--path", "/nowhere", "--times", "1")
    run("sandbox fault", "off")
    run("sandbox employer", "list")
    run("sandbox mode", "open")
    assert run("sandbox era", "2025")["era"] == run("sandbox state")["era"] == "2025"
    assert len(run("queues list")["queues"]) == 10
    run("queues show", "ApplierDeadLetters")
    run("queues redrive", "ApplierQueue")
    assert not run("db status")["pending"]
    run("db migrate")
    run("db seed")
    run("open", "status")
    run("secret")
    ugtj.cloud.sandbox("POST", "/limit", {"calls_per_second": 10})
    held = run("apply", vacancy(), "--letter", "Отменю")
    cancelled = ugtj.run("applications", "cancel", held["application_id"], "--json")
    if cancelled[0] == 0:  # else it was sent before
        holds(SHAPES["applications cancel"], json.loads(cancelled[1]))
    ran.append("applications cancel")
    findings = {f["check"]: f["verdict"] for f in run("doctor")["findings"]}
    assert findings["database"] == findings["migrations"] == findings["hh"] == "ok"
    return set(ran)


def test_every_command_answers_with_its_shape(connected):
    not_here = {"db rollback"}  # it changes the schema under a running system: below
    assert run_all(connected) == set(SHAPES) - not_here


def test_rollback_and_migration_restore_the_schema(ugtj):
    before = ugtj.json("db", "status")["revision"]
    holds(SHAPES["db rollback"], ugtj.json("db", "rollback", "--yes", "--drop-data"))
    assert ugtj.json("db", "status")["pending"]
    assert finding(ugtj, "migrations") == ("problem", "ugtj db migrate")
    ugtj.json("db", "migrate")
    assert ugtj.json("db", "status")["revision"] == before


def test_listen_replays_events_as_lines(connected):
    connected.json(
        "apply", str(connected.cloud.sandbox("POST", "/vacancies", {"title": "A"})["id"])
    )
    code, out, err = connected.run("listen", "--cursor", "0", "--count", "2", "--json")
    assert code == 0, err
    messages = [json.loads(line) for line in out.splitlines()]
    assert [message["seq"] for message in messages] == [1, 2]
    code, out, _ = connected.run("listen", "--cursor", "0", "--count", "1")
    assert out.split()[0] == "1"
    assert connected.run("listen", "--seconds", "0.5")[0] == 0


def test_logs_show_the_last_lines(connected):
    code, out, _ = connected.run("logs", "--last", "20", "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    assert all({"at", "source", "fields", "text"} == set(line) for line in lines)
    code, out, _ = connected.run("logs", "gateway", "--last", "3")
    assert code == 0
    assert "gateway" in out


def test_shell_has_the_original_calls_ready(connected):
    """In a process of its own: the shell sets the variables of a function."""
    program = "print(len(fetch_vacancies('бухгалтер')['jobs']), rate_limit_status()['capacity'])"
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "shell", "-c", program],
        cwd=ROOT,
        env={**connected.environment, "PATH": "/usr/bin:/bin", "HOME": str(Path.home()),
             "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[1] == "20"


EXAMPLES = {
    name: match[1]
    for name, command in ALL_COMMANDS.items()
    if (match := re.match(r"Example: ugtj (.*?)(?:;.*)?$", command.epilog or ""))
}
GROUP_EXAMPLES = [
    match[1]
    for group in getattr(typer.main.get_command(command_line.app), "commands", {}).values()
    if hasattr(group, "commands") and group.name != "cloud"
    if (match := re.match(r"Example: ugtj (.*)$", group.epilog or ""))
]


@pytest.mark.parametrize("example", [*EXAMPLES.values(), *GROUP_EXAMPLES])
def test_example_of_the_help_runs(connected, example, tmp_path, monkeypatch):
    if example.startswith(("shell", "open")):
        pytest.skip("opens a shell, or a browser: tested above")
    job_id = str(connected.cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})["id"])
    (tmp_path / "letter.txt").write_text("Здравствуйте!")
    monkeypatch.chdir(tmp_path)
    for made_up in ("123456789", "123456790"):
        example = example.replace(made_up, job_id)
    if APPLICATION_ID in example:
        applied = connected.json("apply", job_id, "--wait", "60")
        example = example.replace(APPLICATION_ID, applied["application_id"])
    if TRACE in example:
        example = example.replace(TRACE, trace_of_a_request(connected))
    words = shlex.split(example)
    if words[0] == "listen":
        words = [*words, "--seconds", "3"]
    if words[0] == "logs":
        words = [word for word in words if word != "-f"]
    code, out, err = connected.run(*words)
    assert code in ((0, 1) if words[0] == "doctor" else (0,)), (example, out, err)


def trace_of_a_request(ugtj):
    """Return the id of the trace of a request of this moment."""
    import httpx

    answer = httpx.get(f"{ugtj.cloud.url}/api/v1/system/health", timeout=30)
    return answer.headers["traceparent"].split("-")[1]


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
    profiles.write_text(f'[prod]\nurl = "{ugtj.cloud.url}"\nuser = "{DEMO}"\n')
    arguments = ("--profile", "prod", "rate-limit", "status")
    code, _, err = ugtj.run(*arguments, UGTJ_PROFILES=str(profiles))
    assert code == 2
    assert "UGTJ_PROD_SECRET" in err
    secret = ugtj.cloud.secrets["ORCHESTRATOR_SECRET"]
    code, out, err = ugtj.run(*arguments, UGTJ_PROFILES=str(profiles), UGTJ_PROD_SECRET=secret)
    assert code == 0, err
    assert "of 20" in out
    assert secret not in out + err


# ── the smoke test of a deployment ───────────────────────────────────────────────────────────────


def smoked(ugtj, **change):
    """Return the findings of "ugtj cloud smoke" for the local cloud, by test."""
    from cli.commands.cloud.smoke import Deployed, smoke

    given = {
        "url": ugtj.cloud.url,
        "websocket_url": ugtj.cloud.url.replace("http:", "ws:") + "/ws",
        "secret": ugtj.cloud.secrets["ORCHESTRATOR_SECRET"],
        **change,
    }
    return {found.check: found for found in smoke(Deployed(**given))}


@pytest.mark.parametrize("user", [None, DEMO])
def test_smoke_test_passes_on_a_cloud_in_order(connected, user):
    connected.cloud.forget_pauses()
    found = smoked(connected, user=user)
    assert {name: check.message for name, check in found.items() if check.verdict != "ok"} == {}
    assert set(found) == {"health", "ready", "search", "socket", "application"}


def test_smoke_test_names_what_fails(connected):
    found = smoked(connected, secret="wrong", commit="another", user=DEMO)
    failed = {name: check.message for name, check in found.items() if check.verdict == "problem"}
    assert set(failed) == {"ready", "search", "socket", "application"}
    assert "not another" in failed["ready"]
    assert "unauthorized" in failed["search"]


def test_smoke_test_of_a_core_that_is_away_names_no_address(connected):
    found = smoked(connected, url="http://127.0.0.1:9", websocket_url="ws://127.0.0.1:9/ws")
    assert {check.verdict for check in found.values()} == {"problem"}
    assert all("no answer" in check.message for check in found.values())


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────


def finding(ugtj, check, **environment):
    """Return verdict and next step of a check of ``ugtj doctor``."""
    code, out, _ = ugtj.run("doctor", "--json", **environment)
    found = json.loads(out)
    assert code == (1 if found["problems"] else 0)
    (one,) = [one for one in found["findings"] if one["check"] == check]
    return one["verdict"], one["step"]


def test_doctor_finds_a_wrong_secret(connected):
    verdict, step = finding(connected, "secret", ORCHESTRATOR_SECRET="wrong")
    assert verdict == "problem"
    assert "ORCHESTRATOR_SECRET" in step


def test_doctor_finds_a_database_that_is_down(connected):
    address = "postgresql://nobody@127.0.0.1:1/nothing"
    assert finding(connected, "database", DATABASE_URL=address)[0] == "problem"


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("drop", "hh.ru"),
        ("server_error", "hh.ru"),
        ("edge_block", "egress"),
        ("vpn_check", "egress"),
    ],
)
def test_doctor_finds_hh_unreachable_or_blocked(connected, fault, step):
    connected.cloud.forget_pauses()
    connected.cloud.sandbox("POST", "/faults", {"kind": fault})
    try:
        verdict, next_step = finding(connected, "hh")
    finally:
        connected.cloud.sandbox("DELETE", "/faults")
        connected.cloud.forget_pauses()
    assert verdict == "problem"
    assert step in next_step


def test_doctor_finds_a_missing_application_token(connected):
    """hh.ru gives no other token within five minutes."""
    for number in range(2):
        connected.cloud.forget_pauses()
        connected.cloud.sandbox("DELETE", "/tokens")
        connected.run("search", f"a search of its own {number}")  # takes a token, if it gets one
    connected.cloud.sandbox("DELETE", "/tokens")
    verdict, step = finding(connected, "hh")
    connected.cloud.sandbox("POST", "/clock", {"advance_seconds": 600})
    assert verdict == "problem"
    assert "HH_ACCESS_TOKEN" in step


def test_doctor_finds_an_account_to_log_in_again(ugtj):
    person = ugtj.json("people", "connect", "olga")["user_id"]
    verdict, step = finding(ugtj, "access", UGTJ_USER=person)
    assert verdict == "ok"
    ugtj.cloud.query(
        "UPDATE accounts SET access_state = 'reauth_required' WHERE id = "
        f"(SELECT account_id FROM users WHERE id = '{person}') RETURNING id"
    )
    verdict, step = finding(ugtj, "access", UGTJ_USER=person)
    assert (verdict, step) == ("problem", f"ugtj people connect --user {person}")


def test_doctor_finds_a_port_that_is_taken(ugtj, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        verdict, step = finding(ugtj, "port", DATA_DIR=str(tmp_path), PORT=str(port))
    assert (verdict, step) == ("problem", f"PORT={port + 1} make run")


def test_doctor_finds_dead_letters_which_redrive_sends(ugtj):
    import boto3

    ports = json.loads((ugtj.cloud.data_dir / "ports.json").read_text())
    sqs = boto3.client(
        "sqs",
        endpoint_url=f"http://127.0.0.1:{ports['aws']}",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    (url,) = [u for u in sqs.list_queues()["QueueUrls"] if u.endswith("FetchDeadLetters")]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"query_id": DEMO}))
    assert finding(ugtj, "queues") == ("problem", "ugtj queues redrive FetchQueue")
    shown = ugtj.json("queues", "show", "FetchDeadLetters")
    assert [message["body"] for message in shown["messages"]] == [json.dumps({"query_id": DEMO})]
    assert ugtj.json("queues", "redrive", "FetchQueue")["sent_again"] == 1
    assert finding(ugtj, "queues")[0] == "ok"
    sqs.close()


def test_doctor_finds_a_clock_that_jumped(ugtj):
    ugtj.cloud.sandbox("POST", "/clock", {"advance_seconds": 7200})
    verdict, step = finding(ugtj, "clock")
    assert verdict == "warning"
    assert "sandbox clock" in step
