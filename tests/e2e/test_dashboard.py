"""The dashboard of a running local cloud over real HTTP: pages, numbers, buttons, stream."""

import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from local.template.reader import load
from tests.fixtures.hh_sandbox import NO_TLS
from tests.fixtures.local_cloud import new_cloud
from tests.fixtures.waiting import until
from tests.harness.connected_cloud import log_in

PATH = "/dev/dashboard"
PAGES = (
    *("", "/requests", "/functions", "/database", "/queues", "/people", "/messages", "/hh"),
    *("/apply", "/results"),
)
MARKER = "МАРКЕРПИСЬМА"


@pytest.fixture(scope="module")
def own_cloud():
    """Return a cloud of its own: the numbers of the page are compared with all there is."""
    with new_cloud() as cloud:
        cloud.start()
        yield cloud


@pytest.fixture(scope="module")
def applied(own_cloud):
    """Return account and application of a person whose application was submitted."""
    own_cloud.sandbox("POST", "/employers", {"act": False})
    session_id, jwt = log_in(own_cloud, "olga")
    headers = {"Authorization": f"Bearer {jwt}"}
    vacancy = own_cloud.sandbox("POST", "/vacancies", {"title": "Бухгалтер"})
    with own_cloud.client() as bff:
        body = {"job_external_id": vacancy["id"], "cover_letter": f"Здравствуйте! {MARKER}"}
        accepted = bff.post("/api/applications/submit", json=body, headers=headers)
        assert accepted.status_code == 202, accepted.text
        application_id = accepted.json()["application_id"]
        path = f"/api/applications/{application_id}"
        application = until(
            lambda: bff.get(path, headers=headers).json()["application"],
            lambda found: found["state"] == "submitted",
        )
    [(account_id,)] = own_cloud.query(
        f"SELECT account_id FROM application_ledger WHERE id = '{application_id}'"
    )
    return str(account_id), application_id, application["negotiation_id"], session_id


def get(cloud, path="", **query):
    response = httpx.get(f"{cloud.url}{PATH}{path}", params=query, timeout=15, verify=NO_TLS)
    assert response.status_code == 200, response.text
    return response.text


def press(cloud, page, action, headers=None, **fields):
    """Press a button like a browser, and return the sentence that the page then shows."""
    own = {"Origin": cloud.url} if headers is None else headers
    address = f"{cloud.url}{PATH}/{page}/{action}"
    answer = httpx.post(
        address, data={"back": f"{PATH}/{page}", **fields}, headers=own, timeout=15, verify=NO_TLS
    )
    if answer.status_code != 303:
        return answer
    shown = httpx.get(f"{cloud.url}{answer.headers['location']}", timeout=15, verify=NO_TLS)
    assert shown.status_code == 200
    return re.search(r'role="status"[^>]*>([^<]*)<', shown.text)[1]


def number(html, title):
    return int(re.search(rf'data-number="{title}">([\d\u202f]+)<', html)[1].replace("\u202f", ""))


def test_terminal_names_the_dashboard_first(own_cloud):
    addresses = [line.split() for line in own_cloud.output if "http://" in line]
    assert addresses[0] == ["Dashboard", f"{own_cloud.url}{PATH}"]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_whole_and_names_no_outside_address(own_cloud, applied, page):
    response = httpx.get(f"{own_cloud.url}{PATH}{page}", timeout=15, verify=NO_TLS)
    assert response.status_code == 200
    html = response.text
    assert html.count("<h1>") == 1
    assert 'aria-current="page"' in html
    assert not re.findall(r'(?:href|src|action)="(?:https?:)?//', html)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for link in set(re.findall(r'(?:href|src)="(/dev/dashboard/static/[^"]+)"', html)):
        assert httpx.get(own_cloud.url + link, verify=NO_TLS).status_code == 200, link


def test_numbers_on_now_equal_those_of_database_logs_and_status(own_cloud, applied):
    own_cloud.sandbox("POST", "/clock", {"rate": 0})  # no tick between two reads
    try:
        _compare_numbers(own_cloud)
    finally:
        own_cloud.sandbox("POST", "/clock", {"rate": 1})


def _compare_numbers(cloud):
    # Nothing that began before is still running.
    _, html, status = until(
        lambda: (cloud.status()["functions"], get(cloud), cloud.status()),
        lambda read: read[0] == read[2]["functions"],
    )
    functions = status["functions"].values()
    assert number(html, "Invocations") == sum(function["invocations"] for function in functions)
    assert number(html, "Function errors") == sum(function["errors"] for function in functions)
    for title, table in (
        ("People", "accounts"),
        ("Vacancies", "jobs"),
        ("Saved searches", "saved_searches"),
        ("Campaigns", "campaigns"),
    ):
        [(count,)] = cloud.query(f"SELECT count(*) FROM {table}")
        assert number(html, title) == count, title
    states = dict(cloud.query("SELECT state, count(*) FROM application_ledger GROUP BY state"))
    shown = re.findall(r'data-state-count="(\w+)">([\d\u202f]+)<', html)
    assert {state: int(count) for state, count in shown} == states
    queued = sum(
        queue["visible"] + queue["in_flight"] + queue["delayed"]
        for queue in status["queues"].values()
    )
    assert number(html, "Messages") == queued
    assert abs(number(html, "Requests") - recent_requests(cloud)) <= 1  # one ages out


def recent_requests(cloud):
    """Return how many requests of the last five minutes the gateway's log holds."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    lines = (cloud.data_dir / "logs" / "gateway.log").read_text().splitlines()
    return sum(
        datetime.fromisoformat(line.split(" ", 1)[0]) >= since
        for line in lines
        if '"message":"request"' in line
    )


def test_request_opens_into_its_trail(own_cloud, applied):
    route = "POST /api/applications/submit"
    html = get(own_cloud, "/requests", status="2xx", route=route)
    table = html.partition('id="requests"')[2].partition("</section>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    assert len(rows) == 1
    assert f"{route}</td>" in rows[0]
    assert ">202<" in rows[0]
    assert "Nothing yet." in get(own_cloud, "/requests", status="404", route=route)
    [trace_id] = traces_of(own_cloud, "submit")
    trail = get(own_cloud, f"/requests/{trace_id}")
    assert "REPORT RequestId" in trail
    kinds = set(re.findall(r'<span class="kind (\w+)">', trail))
    assert {"gateway", "function", "sql", "aws", "hh", "pace", "message", "change"} <= kinds
    assert "POST /negotiations" in trail
    assert httpx.get(f"{own_cloud.url}{PATH}/requests/{'0' * 32}").status_code == 404


def traces_of(cloud, function):
    """Return the trails that the log page of *function* links to."""
    return set(re.findall(r"/requests/([0-9a-f]{32})", get(cloud, f"/functions/{function}")))


def test_function_page_shows_its_counts_and_log(own_cloud, applied):
    html = get(own_cloud, "/functions/submit")
    assert "REPORT RequestId" in html
    assert "POST /api/applications/submit" in html
    assert httpx.get(f"{own_cloud.url}{PATH}/functions/..%2Fsecrets").status_code == 404


def test_person_page_issues_a_handoff_link(own_cloud, applied):
    account_id, *_ = applied
    page = httpx.get(f"{own_cloud.url}{PATH}/people/{account_id}", timeout=15, verify=NO_TLS)
    assert "Link to their handoff page" in page.text
    data = {"back": f"{PATH}/people/{account_id}", "account": account_id}
    answer = httpx.post(
        f"{own_cloud.url}{PATH}/people/handoff_link",
        data=data,
        headers={"Origin": own_cloud.url},
        follow_redirects=True,
        timeout=15,
        verify=NO_TLS,
    )
    link = re.search(rf'href="({own_cloud.url}/handoff/[^"]+)"', answer.text)[1]
    assert httpx.get(link, timeout=15, verify=NO_TLS).status_code == 200
    assert "has no session" in press(own_cloud, "people", "handoff_link", account="unknown")


def test_application_shows_every_gate_and_step(own_cloud, applied):
    account_id, application_id, _, _ = applied
    html = get(own_cloud, f"/people/{account_id}/{application_id}")
    gates = re.findall(r'<li><span class="badge good">passed</span> <b>([^<]+)</b>', html)
    assert len(gates) == 7
    steps = re.findall(r"<li class=\"(\w+)\"><time[^>]*>[^<]*</time> <span[^>]*>\w+</span> ", html)
    assert {"transition", "call", "answer"} <= set(steps)
    other = f"{PATH}/people/{uuid.uuid4()}/{application_id}"
    assert httpx.get(own_cloud.url + other).status_code == 404


def test_letter_is_on_the_page_of_its_employer_alone(own_cloud, applied):
    account_id, application_id, negotiation, _ = applied
    assert MARKER in get(own_cloud, f"/hh/{negotiation}")
    others = [
        *PAGES,
        f"/people/{account_id}",
        f"/people/{account_id}/{application_id}",
        "/functions/submit",
        "/functions/applier",
        "/functions/access",
    ]
    secrets = own_cloud.secrets.values()
    for page in others:
        html = get(own_cloud, page)
        assert MARKER not in html, page
        assert "Климова" not in html, page
        assert not [secret for secret in secrets if secret in html], page


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://example.org"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:4000"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_button_pressed_by_another_site_does_nothing(own_cloud, headers):
    answer = press(own_cloud, "hh", "mode", headers, mode="closed")
    assert answer.status_code == 403
    assert own_cloud.sandbox("GET", "/state")["mode"] == "open"


def test_era_is_switched_by_a_button_and_shown(own_cloud):
    try:
        said = press(own_cloud, "hh", "era", era="removed-410")
        assert said.startswith("hh.ru is of the era removed-410")
        assert own_cloud.sandbox("GET", "/state")["era"] == "removed-410"
        assert '<option value="removed-410" selected>' in get(own_cloud, "/hh")
        assert "as in its era removed-410" in get(own_cloud)
    finally:
        own_cloud.sandbox("POST", "/era", {"era": "2025"})


def test_return_address_of_a_button_stays_on_the_dashboard(own_cloud):
    for back in ("https://example.org/", "//example.org", "/api/jobs/search"):
        address = f"{own_cloud.url}{PATH}/hh/clear_faults"
        answer = httpx.post(address, data={"back": back}, headers={"Origin": own_cloud.url})
        assert answer.headers["location"].startswith(f"{PATH}?note=")


def test_buttons_steer_the_sandbox_and_say_what_they_did(own_cloud):
    assert "paused" in press(own_cloud, "hh", "rate", rate="0")
    assert own_cloud.sandbox("GET", "/state")["clock"]["rate"] == 0
    assert "The clock is paused" in get(own_cloud)
    assert "60" in press(own_cloud, "hh", "rate", rate="60")
    press(own_cloud, "hh", "rate", rate="1")
    assert "jumped" in press(own_cloud, "hh", "jump", seconds="60")
    assert "captcha" in press(own_cloud, "hh", "fault", kind="captcha", times="3", path="/none")
    [fault] = own_cloud.sandbox("GET", "/state")["faults"]
    assert (fault["kind"], fault["times"], fault["path"]) == ("captcha", 3, "/none")
    assert "Faults are on: captcha" in get(own_cloud)
    assert "off" in press(own_cloud, "hh", "clear_faults")
    assert own_cloud.sandbox("GET", "/state")["faults"] == []
    said = press(own_cloud, "hh", "limits", calls_per_second="9", applications_per_day="200")
    assert "9 calls a second" in said
    press(own_cloud, "hh", "limits", calls_per_second="10", applications_per_day="200")
    assert "Not done" in press(own_cloud, "hh", "fault", kind="no such fault")
    assert "Not done" in press(own_cloud, "hh", "rate", rate="fast")


def test_employer_acts_by_a_button(own_cloud, applied):
    _, _, negotiation, _ = applied
    said = press(own_cloud, "hh", "act", id=negotiation, act="message", text="Привет")
    assert "wrote to the applicant" in said
    assert "looked at" in press(own_cloud, "hh", "act", id=negotiation, act="viewed")
    [row] = own_cloud.sandbox("GET", "/applications?person=olga")["applications"]
    assert row["viewed"]


def test_resume_is_blocked_by_a_button_and_its_raises_are_shown(own_cloud, applied):
    account_id, *_, session_id = applied
    people = own_cloud.sandbox("GET", "/people")["people"]
    [resume] = [own for person in people if person["key"] == "olga" for own in person["resumes"]]
    with own_cloud.client() as bff:
        address = f"/api/hh/resumes/{resume['id']}/raise?user_id={session_id}"
        assert bff.post(address).json()["outcome"] == "raised"
    page = get(own_cloud, f"/people/{account_id}")
    assert resume["id"] in page
    assert '<span class="badge good">raised</span>' in page
    assert resume["title"] not in page + get(own_cloud, "/hh")
    fields = {"person": "olga", "id": resume["id"]}
    assert "is blocked" in press(own_cloud, "hh", "resume", act="block", **fields)
    assert "is published" in press(own_cloud, "hh", "resume", act="publish", **fields)
    assert "Not done" in press(own_cloud, "hh", "resume", act="publish", person="../x", id="1")


def test_reply_is_sent_once_by_a_button(own_cloud, applied):
    account_id, application_id, negotiation, _ = applied
    page = f"/people/{account_id}/{application_id}"
    form = get(own_cloud, page)
    fields = dict(
        re.findall(r'type="hidden" name="(account|application|key)" value="([^"]+)"', form)
    )
    for _ in range(2):
        said = press(own_cloud, "people", "reply", text=f"Да! {SCRIPT}", **fields)
        assert said.startswith("The reply is")
    until(lambda: "not viewed by the employer" in get(own_cloud, f"/hh/{negotiation}"))
    talk = own_cloud.sandbox("GET", f"/applications/{negotiation}/messages")["messages"]
    assert [step["text"] for step in talk].count(f"Да! {SCRIPT}") == 1
    for shown in (get(own_cloud, page), get(own_cloud, f"/hh/{negotiation}")):
        assert "Да!" in shown
        assert SCRIPT not in shown


def test_search_and_application_start_from_the_dashboard(own_cloud, applied):
    html = get(own_cloud, "/apply", text="бухгалтер")
    assert "olga" in html
    pattern = r'name="user" value="([^"]+)"><input[^>]*name="vacancy" value="(\d+)"'
    user_id, vacancy_id = re.findall(pattern, html)[-1]
    said = press(own_cloud, "apply", "submit", user=user_id, vacancy=vacancy_id)
    application_id = re.match(r"The application ([0-9a-f-]{36}) is ", said)[1]
    assert application_id != applied[1]
    assert application_id in get(own_cloud, f"/people/{applied[0]}")
    assert "Not done" in press(own_cloud, "apply", "submit", user=user_id, vacancy="x")


def test_rule_runs_now_by_a_button(own_cloud):
    rules = own_cloud.status()["rules"]
    name = next(name for name, rule in rules.items() if rule["function"] == "sweeper")
    assert "started" in press(own_cloud, "queues", "run_rule", rule=name)
    assert own_cloud.status()["rules"][name]["fired"] > rules[name]["fired"]
    assert "Not done" in press(own_cloud, "queues", "run_rule", rule="none")


def test_dead_letters_are_shown_and_sent_again(own_cloud):
    template, sqs = load(), own_cloud.aws_client("sqs")
    source = template.queues["ApplierQueue"]
    dead = next(queue for queue in template.queues.values() if queue.arn == source.dead_letter_arn)
    contents = [json.dumps({"account_id": str(uuid.uuid4())}) for _ in range(2)]
    for content in contents:
        sqs.send_message(QueueUrl=dead.url, MessageBody=content)
    done = own_cloud.status()["queues"][source.name]["done"]

    html = get(own_cloud, "/queues")
    ids = [json.loads(content)["account_id"] for content in contents]
    assert all(account_id in html for account_id in ids)
    assert f"2 dead letters wait in {dead.name}" in get(own_cloud)
    message_id = re.search(rf"{ids[0]}.*?name=\"message\" value=\"([^\"]+)\"", html, re.DOTALL)[1]
    said = press(own_cloud, "queues", "send_again", queue=dead.name, message=message_id)
    assert said.startswith("1 of ")
    html = get(own_cloud, "/queues")
    assert ids[0] not in html.partition('id="queues"')[0]
    assert ids[1] in html
    again = press(own_cloud, "queues", "send_again", queue=dead.name, message=message_id)
    assert "Not done" in again
    assert press(own_cloud, "queues", "send_again", queue=dead.name).startswith("1 of ")
    until(lambda: own_cloud.status()["queues"][source.name]["done"] >= done + 2)
    assert "None: every message was handled." in get(own_cloud, "/queues")


def test_stream_sends_what_changed(own_cloud):
    address = f"{own_cloud.url}{PATH}/stream"
    with httpx.stream("GET", address, params={"of": PATH}, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = (line for line in stream.iter_lines() if line.startswith("data: "))
        first = json.loads(next(events).removeprefix("data: "))
        assert {"problems", "numbers", "chart", "picture", "clock"} <= set(first)
        own_cloud.sandbox("POST", "/clock", {"rate": 0})
        try:
            for event in events:
                changed = json.loads(event.removeprefix("data: "))
                if "The clock is paused" in changed.get("problems", ""):
                    break
                assert set(changed) <= set(first)
        finally:
            own_cloud.sandbox("POST", "/clock", {"rate": 1})
    assert httpx.get(address, params={"of": "/api/jobs/1"}).status_code == 400


def test_unknown_pages_and_methods_are_refused(own_cloud):
    for path in ("/nothing", "/people/x", "/hh/0", "/static/none.css", "/static/../server.py"):
        assert httpx.get(f"{own_cloud.url}{PATH}{path}").status_code == 404, path
    assert httpx.put(f"{own_cloud.url}{PATH}/hh").status_code == 405
    assert press(own_cloud, "hh", "none").status_code == 404


# ── hostile input ────────────────────────────────────────────────────────────────────────────────

SCRIPT = "<script>alert(1)</script>"
QUERIES = (
    {"requests.sort": SCRIPT, "requests.page": "9" * 5_000, "tables.page": "-1"},
    {"route": SCRIPT, "status": SCRIPT, "person": SCRIPT, "id": SCRIPT, "level": SCRIPT},
    {"note": SCRIPT, "text": "", "user": SCRIPT, "a\x00b": "\x00", "statements.sort": "-\ud7ff"},
)


@pytest.mark.parametrize("page", PAGES)
def test_hostile_query_changes_no_page(own_cloud, applied, page):
    for query in QUERIES:
        html = get(own_cloud, page, **query)
        assert SCRIPT not in html
        assert "<h1>" in html


@pytest.mark.parametrize("path", ["/functions/", "/people/", "/hh/", "/requests/", "/static/", "/"])
@pytest.mark.parametrize(
    "name", ["%00", "%3Cscript%3E", "..%2f..%2fetc%2fpasswd", "a" * 8000, "%FF"]
)
def test_hostile_path_is_not_found(own_cloud, path, name):
    answer = httpx.get(f"{own_cloud.url}{PATH}{path}{name}", timeout=15, verify=NO_TLS)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "1e400", "-1", "", "1e300", "\x00", SCRIPT]
)
def test_hostile_number_is_refused(own_cloud, value):
    for action, names in (
        ("rate", ("rate",)),
        ("jump", ("seconds",)),
        ("limits", ("calls_per_second", "applications_per_day")),
        ("fault", ("kind", "times")),
    ):
        said = press(own_cloud, "hh", action, **dict.fromkeys(names, value))
        assert said.startswith("Not done"), (action, value, said)
    state = own_cloud.sandbox("GET", "/state")
    assert (state["clock"]["rate"], state["faults"]) == (1, [])


@pytest.mark.parametrize(
    ("page", "action", "fields"),
    [
        ("hh", "act", {"id": "0", "act": SCRIPT, "text": SCRIPT}),
        ("hh", "act", {"id": "../clock", "act": "viewed"}),
        ("hh", "mode", {"mode": SCRIPT}),
        ("queues", "run_rule", {"rule": SCRIPT}),
        ("queues", "send_again", {"queue": SCRIPT, "message": SCRIPT}),
        ("apply", "submit", {"user": SCRIPT, "vacancy": SCRIPT, "letter": "x" * 60_000}),
        ("apply", "submit", {}),
    ],
)
def test_hostile_form_is_refused_in_words(own_cloud, page, action, fields):
    said = press(own_cloud, page, action, **fields)
    assert said.startswith("Not done"), said
    assert "<" not in said


@pytest.mark.parametrize("back", ["http://[", "/dev/dashboard\r\nX-Evil: 1", "//[", "\x00"])
def test_hostile_return_address_stays_here(own_cloud, back):
    answer = httpx.post(
        f"{own_cloud.url}{PATH}/hh/clear_faults",
        data={"back": back},
        headers={"Origin": own_cloud.url},
        timeout=15,
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(PATH)
    assert "x-evil" not in answer.headers


def test_form_of_ten_megabytes_is_refused(own_cloud):
    answer = httpx.post(
        f"{own_cloud.url}{PATH}/hh/clear_faults",
        content=b"a" * 10_000_000,
        headers={"Origin": own_cloud.url},
        timeout=30,
    )
    assert answer.status_code == 413


def test_stream_of_no_address_is_refused(own_cloud):
    for of in ("http://[", "//evil/", "/dev/dashboard/none", SCRIPT):
        answer = httpx.get(
            f"{own_cloud.url}{PATH}/stream", params={"of": of}, timeout=15, verify=NO_TLS
        )
        assert answer.status_code == 400, of


@pytest.mark.parametrize("path", ["", "/hh", "/static/dashboard.js", "/stream"])
def test_rebound_host_sees_nothing(own_cloud, path):
    """DNS rebinding: a page of another name that leads to this machine."""
    for host in ("evil.example", f"evil.example:{own_cloud.port}", "localhost.evil.example", ""):
        answer = httpx.get(
            f"{own_cloud.url}{PATH}{path}", headers={"Host": host}, timeout=15, verify=NO_TLS
        )
        assert answer.status_code in (400, 403), host
        origin = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        answer = httpx.post(
            f"{own_cloud.url}{PATH}/hh/mode", headers=origin, timeout=15, verify=NO_TLS
        )
        assert answer.status_code in (400, 403), host


def test_markup_of_strangers_is_text(own_cloud, applied):
    """Vacancies, messages and log lines are written by strangers."""
    made = own_cloud.sandbox("POST", "/vacancies", {"title": f"Сварщик {SCRIPT}"})
    press(own_cloud, "hh", "act", id=applied[2], act="message", text=SCRIPT)
    html = get(own_cloud, "/apply", text="Сварщик")
    assert str(made["id"]) in html
    with (own_cloud.data_dir / "logs" / "submit.log").open("a") as log:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        log.write(f"{at} [ERROR] {SCRIPT} <!--/live:problems-->\n{at} half a line {SCRIPT}")
    time.sleep(0.4)
    shown = [html, *(get(own_cloud, path) for path in ("", "/hh", "/functions/submit"))]
    assert all(SCRIPT not in page for page in shown)
    assert "[ERROR] &lt;script&gt;" in shown[1]
    assert "half a line" not in shown[3]


def test_pages_answer_while_data_is_missing(own_cloud):
    """Logs and items that were deleted while it runs are a problem on the page."""
    hidden = own_cloud.data_dir / "hidden"
    hidden.mkdir()
    (own_cloud.data_dir / "logs").rename(hidden / "logs")
    items = own_cloud.data_dir / "aws" / "items.sqlite"
    items.rename(hidden / "items.sqlite")
    try:
        assert "items.sqlite" in get(own_cloud)
        for path in PAGES[1:]:
            answer = httpx.get(f"{own_cloud.url}{PATH}{path}", timeout=15, verify=NO_TLS)
            assert answer.status_code in (200, 503), path
            assert "<h1>" in answer.text
    finally:
        (hidden / "items.sqlite").rename(items)
        (hidden / "logs").rename(own_cloud.data_dir / "logs")
    assert "items.sqlite" not in get(own_cloud)


# The embedded server ships no pg_stat_statements: a view with its name and columns stands in.
COUNTED = """
    SELECT oid AS dbid, statement AS query, 3::bigint AS calls, 12.5::float8 AS total_exec_time,
           4.2::float8 AS mean_exec_time, 7::bigint AS rows
    FROM pg_database,
         (VALUES ('SELECT <b> FROM counted'), ('ALTER ROLE x PASSWORD $1')) AS counted (statement)
    WHERE datname = current_database()
    UNION ALL SELECT 1, 'of another database', 1, 1, 1, 1
"""


def test_statements_come_from_the_server_that_counts_them(own_cloud):
    html = get_with_view(own_cloud, COUNTED)
    assert "pg_stat_statements of the server" in html
    assert "SELECT &lt;b&gt; FROM counted" in html
    assert "of another database" not in html
    assert "PASSWORD" not in html


@pytest.mark.parametrize("view", ["SELECT 1 AS dbid, 2 AS total_time", None])
def test_statements_come_from_the_trail_of_another_server(own_cloud, view):
    html = get(own_cloud, "/database") if view is None else get_with_view(own_cloud, view)
    assert "this server counts none" in html


def get_with_view(cloud, select):
    cloud.query(f"CREATE VIEW pg_stat_statements AS {select}")
    try:
        return get(cloud, "/database")
    finally:
        cloud.query("DROP VIEW pg_stat_statements")
