"""A person pairs a phone, gets a message there, opens the handoff page, and turns it off."""

import json
import re
import time

import httpx

from tests.fixtures.hh_sandbox import NO_TLS
from tests.fixtures.receivers import PHONE
from tests.harness.connected_cloud import log_in

LONG_S = 90


def receivers(cloud, method, path, content=None):
    port = json.loads((cloud.data_dir / "ports.json").read_text())["receivers"]
    url = f"http://127.0.0.1:{port}/_receivers{path}"
    return httpx.request(method, url, json=content, timeout=30, verify=NO_TLS).json()


def texts(cloud):
    [chat] = [c for c in receivers(cloud, "GET", "/state")["chats"] if c["id"] == PHONE]
    return [message["text"] for message in chat["messages"] if message["sender"] == "bot"]


def write(cloud, text):
    """Write to the bot and return its next answer."""
    before = len(texts(cloud))
    receivers(cloud, "POST", f"/telegram/chats/{PHONE}/messages", {"text": text})
    return wait_for_text(cloud, before)


def wait_for_text(cloud, before):
    deadline = time.monotonic() + LONG_S
    while len(found := texts(cloud)) <= before:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found[before]


def test_person_is_told_on_a_paired_phone(cloud):
    _, jwt = log_in(cloud, "anna")
    headers = {"Authorization": f"Bearer {jwt}"}
    with httpx.Client(base_url=cloud.url, headers=headers, timeout=35, verify=NO_TLS) as person:
        pairing = person.post("/api/notifications/telegram/pairing")
        assert pairing.status_code == 200, pairing.text
        assert pairing.json()["url"].startswith("https://t.me/ullgetthejob_local_bot?start=")

        assert write(cloud, pairing.json()["url"]).startswith("Готово")
        [channel] = person.get("/api/notifications/channels").json()["items"]
        assert (channel["kind"], channel["state"]) == ("telegram", "active")

        before = len(texts(cloud))
        tested = person.post(f"/api/notifications/channels/{channel['id']}/test")
        assert tested.status_code == 202, tested.text
        assert wait_for_text(cloud, before)

        answer = write(cloud, "/handoff")
        link = re.search(r"http://\S+/handoff/\S+", answer)[0]
        page = httpx.get(link, timeout=35, verify=NO_TLS)
        assert page.status_code == 200
        assert page.headers["referrer-policy"] == "no-referrer"

        assert write(cloud, "/stop").startswith("Уведомления отключены")
        [channel] = person.get("/api/notifications/channels").json()["items"]
        assert channel["state"] == "disabled"

    logs = "".join(path.read_text() for path in (cloud.data_dir / "logs").glob("*.log"))
    for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET"):
        assert cloud.secrets[name] not in logs
    assert link.rpartition("/")[2] not in logs
