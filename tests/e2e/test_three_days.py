"""A person for whom Core works by itself for three days, in the running local cloud; then hh.ru is
closed, and the same person does for three days what is left to them."""

import random
import re
import time
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.fixtures.hh_sandbox import NO_TLS
from tests.harness.connected_cloud import Client, log_in

DAYS = 3
MINUTE_S, HOUR_S, DAY_S = 61, 3600, 86_400  # a minute of the sweeper's, and a second
WITHIN_S = 90  # real seconds, on a busy machine
ZONE = ZoneInfo("Europe/Moscow")
HOURS = {"from": "10:00", "to": "12:00"}
INTERVAL_S = 3600
BY_HAND = 40  # enough for rates
PER_DAY = 2
READ_WITHIN_S = 6 * HOUR_S + MINUTE_S  # the longest interval between readings of negotiations
TITLES = ("Смотритель", "Электрик", "Механик", "Повар", "Водитель", "Флорист")
HANDED_OFF = (
    ("Маляр", "Столяр", "Токарь"),
    ("Швея", "Пекарь", "Слесарь"),
    ("Грузчик", "Диспетчер", "Архивариус"),
)  # on each of the days
SHADY = {"id": "7700077", "name": "Тёмная контора"}
# The check stops a letter with a placeholder that was left.
LETTER = (
    "Здравствуйте! Меня заинтересовала вакансия «{{ vacancy.title }}».{% if 'Ночной' in"
    " vacancy.title %} [Ваше имя]{% endif %} Буду рада рассказать о своём опыте на встрече."
)
WAITS = re.compile("Последний шаг за вами")
MARKER = "МАРКЕРПИСЬМА"


class Person(Client):
    """Marina, with a phone of her own, on which the bot writes to her."""

    def __init__(self, cloud, name="marina"):
        self.name = name
        self.user_id, jwt = log_in(cloud, name)
        super().__init__(cloud, jwt)
        self.chat = self.receivers("POST", "/telegram/chats", {"name": name})["id"]

    def receivers(self, method, path, content=None):
        port = self.cloud.ports["receivers"]
        url = f"http://127.0.0.1:{port}/_receivers{path}"
        return httpx.request(method, url, json=content, timeout=30, verify=NO_TLS).json()

    def messages(self, pattern=""):
        """Return the bot's messages whose texts have *pattern*."""
        [chat] = [c for c in self.receivers("GET", "/state")["chats"] if c["id"] == self.chat]
        sent = [message for message in chat["messages"] if message["sender"] == "bot"]
        return [message for message in sent if re.search(pattern, message["text"])]

    def write(self, text):
        """Write to the bot, and return its answer."""
        before = len(self.messages())
        self.receivers("POST", f"/telegram/chats/{self.chat}/messages", {"text": text})
        self.until(lambda: len(self.messages()) > before)
        return self.messages()[before]["text"]

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    def now(self):
        return datetime.fromisoformat(self.cloud.sandbox("GET", "/state")["clock"]["now"])

    def advance(self, seconds):
        self.cloud.sandbox("POST", "/clock", {"advance_seconds": seconds})

    def advance_to(self, hour, minute=0):
        """Advance to the next time at which the person's clock shows it."""
        now = self.now().astimezone(ZONE)
        then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        self.advance((then + timedelta(days=then <= now) - now).total_seconds())

    def until(self, holds, minutes=False):
        """Wait until *holds*, and return what it returned; let minutes pass meanwhile if asked."""
        ends = time.monotonic() + WITHIN_S
        while not (found := holds()):
            assert time.monotonic() < ends, holds.__doc__ or holds
            if minutes:
                self.advance(MINUTE_S)
            time.sleep(0.3)
        return found

    # ── work ─────────────────────────────────────────────────────────────────────────────────────

    def publish(self, title, **fields):
        made = self.cloud.sandbox("POST", "/vacancies", {"title": title, **fields})
        return str(made["id"])

    def save_search(self, word, **apply):
        settings = {"mode": "auto", "min_fit": 0, "bucket_share": 100, **apply}
        body = {"search": {"text": word}, "interval_seconds": INTERVAL_S, "apply": settings}
        return self.call("POST", "/api/schedules", body)["id"]

    def submit(self, vacancy, letter):
        """Apply through the BFF."""
        body = {"job_external_id": vacancy, "cover_letter": letter}
        with self.cloud.client() as bff:
            answer = bff.post("/api/applications/submit", json=body, headers=self.headers)
        assert answer.status_code == 202, answer.text

    def counts(self, search_id):
        return self.call("GET", f"/api/schedules/{search_id}")["apply"]["counts"]

    def jobs_that_are(self, state):
        """Return the jobs of the latest applications in a state."""
        path = f"/api/applications?state={state}&per_page=100"
        return {item["job_id"] for item in self.call("GET", path)["items"]}

    def log(self, **wanted):
        """Return the sandbox's log of the person's applications."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        path = f"/applications?person={self.name}&{query}".rstrip("&")
        return self.cloud.sandbox("GET", path)["applications"]

    def funnel(self):
        """Return the funnel's counts of what happened to applications."""
        stages = self.call("GET", "/api/stats")["all"]["stages"]
        counted = {stage["stage"]: stage["count"] for stage in stages}
        return {name: counted[name] for name in ("applied", "seen", "answered", "invited")}

    def funnel_of_the_log(self):
        log = self.log(outcome="accepted")
        return {
            "applied": len(log),
            "seen": sum(entry["viewed"] or entry["answered"] for entry in log),
            "answered": sum(entry["answered"] for entry in log),
            "invited": sum(entry["invited"] for entry in log),
        }

    def wait_for_equal_funnel(self):
        def equals():
            shown = self.funnel()
            return shown if shown == self.funnel_of_the_log() else None

        return self.until(equals)

    def vacancies_invited_to(self, since):
        """Return the vacancies, applied to *since* then, whose employers invited."""
        log = self.log(outcome="accepted")
        made = [entry for entry in log if datetime.fromisoformat(entry["at"]) >= since]
        return {entry["vacancy_id"] for entry in made if entry["invited"]}

    def invited(self):
        """Return how many events there were of an invitation, by the job."""
        return Counter(
            event["data"]["job_id"]
            for event in self.seen
            if event["type"] == "application.updated" and event["data"]["reason"] == "invitation"
        )


@pytest.fixture(scope="module")
def person(cloud):
    """Return the person, with a paired phone, and filters."""
    cloud.forget_pauses()
    person = Person(cloud)
    pairing = person.call("POST", "/api/notifications/telegram/pairing")
    assert pairing["url"].startswith("https://t.me/ullgetthejob_local_bot?start=")
    assert person.write(pairing["url"]).startswith("Готово")
    rules = {"title_words": ["стажёр"], "employers": [{"id": SHADY["id"]}]}
    person.call("PUT", "/api/filters", {"rules": rules})
    yield person
    person.call("PUT", "/api/filters", {"rules": {}})


def new_word():
    """Return a word that no other vacancy has; without digits, which the check looks at."""
    return "маяк" + "".join(random.choices("бвгдзклмнпрст", k=8))  # noqa: S311 - no secret


def test_three_days_of_autopilot_are_as_the_log_of_hh_says(person):
    began = person.now()
    person.cloud.sandbox("POST", "/employers", {"act": True})
    person.cloud.sandbox("POST", f"/people/{person.name}/applications", {"count": BY_HAND})
    person.advance_to(13)  # outside of the hours
    word = new_word()
    letter = {"name": word, "text": LETTER}
    template = person.call("POST", "/api/letters/templates", letter)["id"]
    wanted = {person.publish(f"{title} {word}") for title in TITLES}
    stopped = person.publish(f"Ночной сторож {word}")
    person.publish(f"Стажёр {word}")
    person.publish(f"Плотник {word}", employer=SHADY)
    search_id = person.save_search(
        word, letter_template_id=template, max_per_day=PER_DAY, working_hours=HOURS,
        time_zone=str(ZONE),
    )  # fmt: skip

    def of_search():
        return [entry for entry in person.log(by="api") if word in entry["vacancy"]]

    def held(sent):
        """Return the autopilot's counts once it has sent so many."""
        counts = person.counts(search_id)
        is_held = counts["found"] == len(wanted) + 1 and len(of_search()) == sent
        return counts if is_held and counts["sent_in_24h"] == min(sent, PER_DAY) else None

    def next_send_at(sent):
        """Return when the next one may be sent, an hour ahead or more, after so many."""
        counts = held(sent)
        then = counts and counts["next_send_at"] and datetime.fromisoformat(counts["next_send_at"])
        return then if then and then - person.now() > timedelta(hours=1) else None

    def is_reviewed():
        return person.call("GET", "/api/reviews")["items"]

    for day in range(DAYS):
        next_at = person.until(partial(next_send_at, PER_DAY * day), minutes=True)
        person.advance((next_at - person.now()).total_seconds() + MINUTE_S)
        person.until(partial(held, PER_DAY * (day + 1)), minutes=True)
        last = of_search()[-1]
        act = f"/applications/{last['negotiation_id']}/act"
        person.cloud.sandbox("POST", act, {"act": "invitation"})
        person.advance(READ_WITHIN_S)
        told = f"пригла(.|\\n)*{last['vacancy']}"
        person.until(partial(person.messages, told), minutes=True)
        person.advance(READ_WITHIN_S)
        shown = person.wait_for_equal_funnel()
    assert shown["applied"] > shown["seen"] > shown["answered"] > shown["invited"] >= DAYS
    invited = person.vacancies_invited_to(since=began)
    person.listen(lambda: invited <= person.invited().keys())
    assert {person.invited()[vacancy] for vacancy in invited} == {1}

    log = of_search()
    assert sorted(entry["vacancy_id"] for entry in log) == sorted(wanted)
    assert {entry["outcome"] for entry in log} == {"accepted"}
    assert all(f"«{entry['vacancy']}»" in entry["letter"] for entry in log)
    times = [datetime.fromisoformat(entry["at"]).astimezone(ZONE) for entry in log]
    assert {at.hour for at in times} <= {10, 11}
    days = [at.date() for at in times]
    assert all(days.count(day) == PER_DAY for day in days)
    person.advance_to(10, 2)  # the next one that has a slot may be the letter that the check stops
    [review] = person.until(is_reviewed, minutes=True)
    assert (review["vacancy"]["job_id"], len(of_search())) == (stopped, len(wanted))
    [group] = [
        group
        for group in person.call("GET", "/api/stats?by=search")["groups"]
        if group["key"] == search_id
    ]
    stages = {stage["stage"]: stage["count"] for stage in group["stages"]}
    assert (stages["found"], stages["told"], stages["applied"]) == (9, 7, 6)
    person.call("DELETE", f"/api/schedules/{search_id}")

    # An invitation that a refusal follows stays one, and so does the connection once the tokens
    # have expired.
    person.cloud.sandbox("POST", act, {"act": "discard"})
    person.advance(14 * DAY_S + MINUTE_S)
    later = person.wait_for_equal_funnel()
    assert later["invited"] >= shown["invited"]
    silent = person.call("GET", "/api/stats/silent?days=14")["found"]
    assert silent == later["applied"] - later["answered"]


# ── hh.ru is closed ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def closed(person):
    """Close hh.ru to the methods of applicants."""
    person.cloud.sandbox("POST", "/mode", {"mode": "closed"})
    yield person
    person.cloud.sandbox("POST", "/mode", {"mode": "open"})


def browser():
    return httpx.Client(headers={"Accept-Language": "en"}, timeout=35, verify=NO_TLS)


def form_of(answer, action, **fields):
    token = re.search(r'name="form_token" value="(\w+)"', answer.text)
    return {"form_token": token[1] if token else "", "action": action, **fields}


def link_of(message):
    urls = [button["url"] for row in message["rows"] for button in row if "url" in button]
    [link] = [url for url in urls if "/handoff/" in url]
    return link


def do_all(person, own, link, vacancies):
    """Open the link, apply to each vacancy at hh.ru, and say so on the page."""
    opened = own.post(link, data=form_of(own.get(link), "open"))
    assert (opened.status_code, opened.headers["location"]) == (303, "/handoff")
    path = f"{person.cloud.url}/handoff"
    for _ in vacancies:
        page = own.get(path)
        assert MARKER in page.text
        item = re.search(r'href="https://hh\.ru/\S*?(\d+)"', page.text)[1]
        hand = {"vacancy_id": item}
        person.cloud.sandbox("POST", f"/people/{person.name}/applications", hand)
        application = re.search(r'name="application" value="([\w-]+)"', page.text)[1]
        done = form_of(page, "done", application=application)
        for _ in range(2):  # pressed twice
            assert own.post(path, data=done).status_code == 303
    assert 'name="application"' not in own.get(path).text
    return done


def test_closed_hh_is_one_message_a_day_until_done_on_the_page(closed):
    person = closed
    word = new_word()
    before = len(person.messages(WAITS))
    links = []
    for day, titles in enumerate(HANDED_OFF, start=1):
        person.advance_to(15)
        vacancies = {person.publish(f"{title} {word}") for title in titles}
        for vacancy in vacancies:
            person.submit(vacancy, f"{MARKER}. Здравствуйте!")
        person.until(lambda: vacancies == person.jobs_that_are("handoff"))  # noqa: B023 - called now
        person.advance_to(9)
        person.until(lambda: person.messages(WAITS)[before + day - 1 :], minutes=True)  # noqa: B023
        assert len(person.messages(WAITS)) == before + day
        link = link_of(person.messages(WAITS)[-1])
        links.append(link)
        with browser() as own, browser() as other:
            others = other.get(link)
            done = do_all(person, own, link, vacancies)
            used = other.post(link, data=form_of(others, "open"))
            assert (used.status_code, "Send me a new link" in used.text) == (410, True)
            if titles == HANDED_OFF[-1]:
                unused = re.search(r"http://\S+/handoff/\S+", person.write("/handoff"))[0]
                person.advance(HOUR_S + 1)
                path = f"{person.cloud.url}/handoff"
                assert own.post(path, data=done).status_code == 401
                assert other.get(unused).status_code == 410
                links.append(unused)
        at_hh = {entry["vacancy_id"] for entry in person.log(by="hand", outcome="accepted")}
        assert at_hh >= set(vacancies)
        states = {
            item["job_id"]: item["state"]
            for item in person.call("GET", "/api/applications")["items"]
        }
        assert {states[vacancy] for vacancy in vacancies} == {"submitted"}
    person.advance_to(12)
    assert len(person.messages(WAITS)) == before + len(HANDED_OFF)
    assert person.write("/stop").startswith("Уведомления отключены")
    [channel] = person.call("GET", "/api/notifications/channels")["items"]
    assert channel["state"] == "disabled"
    assert_nothing_leaked(person.cloud, links)


def assert_nothing_leaked(cloud, links):
    """Assert that no log line has a link's ticket, a letter, or a secret of the bot."""
    paths = (cloud.data_dir / "logs").rglob("*.log")
    logs = "".join(path.read_text(errors="replace") for path in paths) + "".join(cloud.output)
    assert "POST /handoff/{ticket}" in logs
    secrets = [cloud.secrets[name] for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET")]
    for secret in [*secrets, MARKER, *(urlsplit(link).path.rpartition("/")[2] for link in links)]:
        assert secret not in logs
