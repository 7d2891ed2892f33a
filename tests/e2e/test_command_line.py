"""``ugtj``: every command, recursively, against a running local cloud, and its JSON."""

import json
import subprocess
import sys
from pathlib import Path

from migrations.seed import DEMO_USER_ID
from tests.fixtures.local_cloud import ROOT
from tests.fixtures.waiting import until
from tests.harness.command_line import ALL_COMMANDS, finding
from tests.harness.command_shapes import SHAPES, holds
from tests.harness.notifying import WebhookReceiver

# Commands that print a line of JSON for each thing, or none; tested by themselves below.
OF_LINES = {"listen", "logs", "shell"}


def test_every_command_has_a_shape():
    assert set(SHAPES) | OF_LINES == set(ALL_COMMANDS)
    assert all(("json" in [p.name for p in c.params]) == (n != "shell")
               for n, c in ALL_COMMANDS.items())  # fmt: skip


class Walk:
    """A person's way through the commands. *ran*: those that answered in their shapes."""

    def __init__(self, ugtj):
        self.ugtj = ugtj
        self.ran = set()

    def run(self, name, *arguments):
        """Run a command with ``--json``, check the shape of its answer, and return the answer."""
        answer = self.ugtj.json(*name.split(), *arguments)
        holds(SHAPES[name], answer, name)
        self.ran.add(name)
        return answer

    def vacancy(self, **fields):
        """Publish a vacancy, and return its id."""
        fields = {"title": "Бухгалтер", **fields}
        return str(self.ugtj.cloud.sandbox("POST", "/vacancies", fields)["id"])

    def read_vacancies(self):
        job_id = self.vacancy()
        found = self.run("search", "бухгалтер", "--area", "1", "--per-page", "5")
        assert found["jobs"]
        assert self.run("job", job_id)["job"]["title"] == "Бухгалтер"
        assert 0 <= self.run("fit", job_id)["score"] <= 100

    def raise_resume(self):
        anna = self.ugtj.cloud.sandbox("GET", "/people")["people"][0]
        titles = {resume["title"]: resume["id"] for resume in anna["resumes"]}
        resume = titles["Backend-инженер"]
        assert self.run("resumes raise", resume)["outcome"] == "raised"
        scheduled = self.run("resumes schedule", resume, "--at", "09:00")
        assert scheduled["schedule"]["times"] == ["09:00"]
        assert self.run("resumes show", resume)["scheduled_at"]

    def write_letters(self):
        job_id = self.vacancy()
        template = self.run("letters add", "Короткое", "Вакансия {{ vacancy.title }}")["id"]
        assert template in {item["id"] for item in self.run("letters list")["items"]}
        self.run("letters edit", template, "Короткое", "О вакансии {{ vacancy.title }}")
        made = self.run("letters preview", job_id, "О вакансии {{ vacancy.title }}")
        assert made["letter"] == "О вакансии Бухгалтер"
        assert self.run("letters check", job_id, "Здравствуйте, [имя]!")["findings"]
        self.review_applications(template)
        self.run("letters rm", template)

    def review_applications(self, template):
        """Apply with a template; approve one application twice, and reject the other."""
        first, second = self.vacancy(), self.vacancy()
        options = ("--template", template, "--review", "always", "--wait", "60")
        approved, rejected = (
            self.run("apply", job_id, *options)["application_id"] for job_id in (first, second)
        )
        shown = {item["application_id"]: item for item in self.run("reviews list")["items"]}
        assert shown[approved]["letter"] == "О вакансии Бухгалтер"
        letter = "Здравствуйте! Меня интересует место бухгалтера у вас."
        edited = self.run("reviews edit", approved, letter)
        for _ in range(2):
            answer = self.run("reviews approve", approved, "--letter-hash", edited["letter_hash"])
            assert answer["items"][0]["error"] is None
        assert self.run("reviews reject", rejected)["items"][0]["state"] == "cancelled"
        assert self.run("apply", first, *options)["state"] == "submitted"  # waits for the same
        sent = self.run("applications show", approved)["application"]
        assert sent["cover_letter"] == edited["letter"]

    def receive_notification(self):
        """Add a webhook, and receive what tests it through the queue and the worker."""
        with WebhookReceiver() as receiver, self.ugtj.cloud.client() as client:
            body = {"user_id": DEMO_USER_ID, "kind": "webhook", "url": receiver.url}
            added = client.post("/api/notifications/channels", json=body)
            assert added.status_code == 201, added.text
            [channel] = self.run("notifications channels")["items"]
            planned = self.run("notifications test", channel["id"])["notification_id"]
            assert until(lambda: receiver.ids) == [planned]
        assert self.run("notifications show")["channels"] == [channel]

    def save_search(self):
        saved = self.run("schedules add", "бухгалтер", "--every", "3600", "--name", "Мой поиск")
        id = saved["id"]
        assert id in {item["id"] for item in self.run("schedules list")["items"]}
        assert self.run("schedules show", id)["name"] == "Мой поиск"
        assert self.run("schedules edit", id, "--name", "Другой")["name"] == "Другой"
        assert self.run("schedules pause", id)["paused"]
        assert not self.run("schedules pause", id, "--off")["paused"]
        fetched = self.run("schedules fetch", id)["run"]
        assert fetched["state"] in ("completed", "partial", "running")
        assert self.run("schedules matches", id)["items"] is not None
        self.run("schedules rm", id)

    def import_links(self):
        links = [f"https://hh.ru/vacancy/{self.vacancy()}?from=share"]
        imported = self.run("import", *links, "https://example.org/vacancy/1", "--apply")
        assert [link["error"] for link in imported["links"]] == [None, "not_hh"]
        workflow = imported["campaign"]["workflow_id"]
        tried = self.ugtj.json("campaigns", "start", workflow, "--dry-run")
        assert [row["would"] for row in tried["rows"]] == ["apply_now"]

    def apply(self):
        job_id = self.vacancy()
        tried = self.ugtj.json("apply", job_id, "--letter", "Здравствуйте!", "--dry-run")
        assert (tried["would"], len(tried["gates"])) == ("apply_now", 9)
        applied = self.run("apply", job_id, "--letter", "Здравствуйте!", "--wait", "60")
        assert applied["state"] == "submitted"
        id = applied["application_id"]
        assert id in {item["application_id"] for item in self.run("applications list")["items"]}
        assert self.run("applications show", id)["application"]["history"]
        lines = self.run("trail", id)["lines"]
        assert any(line["message"] == "application changed" for line in lines)
        self.converse(id)
        self.read_results(id)

    def converse(self, id):
        for _ in range(2):
            text = "Спасибо, мне удобно. Пишите на a@b.example"
            replied = self.run("applications reply", id, text)
        assert [finding["rule"] for finding in replied["findings"]] == ["contact"]
        shown = self.run("applications messages", id)["items"]
        assert [item["message_id"] for item in shown] == [replied["message"]["message_id"]]

    def read_results(self, id):
        self.run("stats", "--by", "hour")
        assert self.ugtj.json("stats", "--silent")["items"] == []
        results = self.ugtj.cloud.data_dir / "results.csv"
        assert self.ugtj.json("stats", "--csv", str(results))["rows"] >= 1
        assert id in results.read_text("utf-8-sig")

    def apply_in_vain(self):
        external = self.run("apply", self.vacancy(refusal="test_required"), "--wait", "60")
        assert external["state"] in ("needs_person", "handoff")
        self.run("applications confirm", external["application_id"])
        refused = self.run("apply", self.vacancy(refusal="invalid_vacancy"), "--wait", "60")
        assert refused["state"] == "refused"
        self.run("applications retry", refused["application_id"], "--letter", "Ещё раз")

    def cancel_application(self):
        self.ugtj.cloud.sandbox("POST", "/limit", {"calls_per_second": 10})
        held = self.run("apply", self.vacancy(), "--letter", "Отменю")
        cancelled = self.ugtj.run("applications", "cancel", held["application_id"], "--json")
        if cancelled[0] == 0:  # else it was sent before
            holds(SHAPES["applications cancel"], json.loads(cancelled[1]))
        self.ran.add("applications cancel")

    def conduct_campaign(self):
        letter = ("--letter", "Добрый день!")
        flow = self.run("campaigns add", self.vacancy(), self.vacancy(), *letter)["workflow_id"]
        self.run("campaigns start", flow)
        self.run("campaigns pause", flow)
        self.run("campaigns resume", flow)
        assert self.run("campaigns show", flow)["total"] == 2
        self.run("campaigns cancel", flow)

    def filter(self):
        self.run("filters set", '{"title_words": ["C++"]}')
        assert self.run("filters show")["rules"]["title_words"] == ["C++"]
        self.run("filters preview", self.vacancy())
        self.run("filters set", "{}")

    def read_limits(self):
        assert self.run("rate-limit status")["capacity"] == 20
        assert self.run("rate-limit check")["allowed"]
        assert self.run("rate-limit reset")["tokens"] == 20

    def know_people(self):
        other = self.run("people connect", "timur")["user_id"]
        of_other = ("--user", other)
        assert other in {row["user_id"] for row in self.run("people list")["people"]}
        assert self.run("people show", *of_other)["account"]["connected"]
        paused_at = self.run("people pause", *of_other, "--all")["paused_at"]
        account = self.run("people show", *of_other)["account"]
        assert account["autopilot_paused_at"] == paused_at
        assert self.run("people resume", *of_other, "--all")["autopilot_paused_at"] is None
        assert "/handoff/" in self.run("people handoff-link", other)["url"]
        archive = ("--output", str(self.ugtj.cloud.data_dir / "timur.zip"))
        assert self.run("people export", *of_other, *archive)["lines"]["accounts"] == 1
        assert self.ugtj.run("people", "export", *of_other, *archive)[0] == 1  # it exists
        assert self.ugtj.run("people", "delete", *of_other)[0] == 2  # no terminal to ask at
        self.run("people delete", *of_other, "--yes")
        assert other not in {row["user_id"] for row in self.run("people list")["people"]}
        due = "SELECT id FROM accounts WHERE deletion_due_at IS NOT NULL"
        until(lambda: not self.ugtj.cloud.query(due))

    def steer_sandbox(self):
        self.run("sandbox state")
        self.run("sandbox clock", "--advance", "1m")
        self.run("sandbox fault", "captcha", "--path", "/nowhere", "--times", "1")
        self.run("sandbox fault", "off")
        self.run("sandbox employer", "list")
        self.run("sandbox mode", "open")
        assert self.run("sandbox era", "2025")["era"] == self.run("sandbox state")["era"] == "2025"

    def operate(self):
        assert len(self.run("queues list")["queues"]) == 10
        self.run("queues show", "ApplierDeadLetters")
        self.run("queues redrive", "ApplierQueue")
        assert not self.run("db status")["pending"]
        self.run("db migrate")
        self.run("db seed")
        self.run("open", "status")
        self.run("secret")
        findings = {found["check"]: found["verdict"] for found in self.run("doctor")["findings"]}
        assert findings["database"] == findings["migrations"] == findings["hh"] == "ok"


def test_every_command_answers_with_its_shape(ugtj):
    ugtj.cloud.sandbox("POST", "/employers", {"act": False})
    walk = Walk(ugtj)
    walk.read_vacancies()
    walk.raise_resume()
    walk.write_letters()
    walk.receive_notification()
    walk.save_search()
    walk.import_links()
    walk.apply()
    walk.apply_in_vain()
    walk.conduct_campaign()
    walk.filter()
    walk.read_limits()
    walk.know_people()
    walk.steer_sandbox()
    walk.cancel_application()
    walk.operate()
    not_here = {"db rollback"}  # it changes the schema under a running system: below
    assert walk.ran == set(SHAPES) - not_here


def test_rollback_and_migration_restore_the_schema(ugtj):
    before = ugtj.json("db", "status")["revision"]
    holds(SHAPES["db rollback"], ugtj.json("db", "rollback", "--yes", "--drop-data"))
    assert ugtj.json("db", "status")["pending"]
    assert finding(ugtj, "migrations") == ("problem", "ugtj db migrate")
    ugtj.json("db", "migrate")
    assert ugtj.json("db", "status")["revision"] == before


def test_listen_replays_events_as_lines(ugtj):
    ugtj.json("apply", str(ugtj.cloud.sandbox("POST", "/vacancies", {"title": "A"})["id"]))
    code, out, err = ugtj.run("listen", "--cursor", "0", "--count", "2", "--json")
    assert code == 0, err
    messages = [json.loads(line) for line in out.splitlines()]
    assert [message["seq"] for message in messages] == [1, 2]
    code, out, _ = ugtj.run("listen", "--cursor", "0", "--count", "1")
    assert out.split()[0] == "1"
    assert ugtj.run("listen", "--seconds", "0.5")[0] == 0


def test_logs_show_the_last_lines(ugtj):
    code, out, _ = ugtj.run("logs", "--last", "20", "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    assert all({"at", "source", "fields", "text"} == set(line) for line in lines)
    code, out, _ = ugtj.run("logs", "gateway", "--last", "3")
    assert code == 0
    assert "gateway" in out


def test_shell_has_the_original_calls_ready(ugtj):
    """In a process of its own: the shell sets the variables of a function."""
    program = "print(len(fetch_vacancies('бухгалтер')['jobs']), rate_limit_status()['capacity'])"
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "shell", "-c", program],
        cwd=ROOT,
        env={**ugtj.environment, "PATH": "/usr/bin:/bin", "HOME": str(Path.home()),
             "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[1] == "20"
