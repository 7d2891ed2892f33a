"""People of the running local cloud: logging in, as the BFF and a browser do, calling the API, and
listening at a WebSocket."""

import asyncio
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import aiohttp
import httpx

WITHIN_S = 60  # real seconds, on a busy machine


def log_in(cloud, person="anna"):
    """As the BFF does it, and a browser in between; the session and its JWT."""
    session_id = str(uuid4())
    with cloud.client() as bff:
        there = bff.get("/auth/hh/redirect").json()
        form = {"person": person, "decision": "allow"}
        consent = httpx.post(there["url"], data=form, timeout=30)
        back = dict(parse_qsl(urlsplit(consent.headers["location"]).query))
        assert back["state"] == there["state"]
        query = {"code": back["code"], "session_id": session_id}  # the BFF drops the state
        first = bff.get("/auth/hh/callback", params=query)
        assert first.status_code == 200, first.text
        assert bff.get("/auth/hh/callback", params=query).text == first.text
    return session_id, first.json()["jwt"]


def get(cloud, path, jwt):
    headers = {"Authorization": f"Bearer {jwt}"}
    answer = httpx.get(f"{cloud.url}{path}", headers=headers, timeout=35)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Client:
    """A stand-in for a browser: a ticket, a socket, and the last ``seq``."""

    def __init__(self, cloud, jwt):
        self.cloud = cloud
        self.headers = {"Authorization": f"Bearer {jwt}"}
        self.seen = []

    def call(self, method, path, body=None):
        url = f"{self.cloud.url}{path}"
        answer = httpx.request(method, url, json=body, headers=self.headers, timeout=35)
        assert answer.is_success, answer.text
        return answer.json()

    @property
    def jobs(self):
        """Return the ids of all jobs in events, duplicates included."""
        news = [event for event in self.seen if event["type"] == "jobs.new"]
        return [job["id"] for event in news for job in event["data"]["jobs"]]

    def listen(self, until):
        """Receive events after the last one seen, until *until* returns true; connect again after
        an error, as errors ask clients to."""
        asyncio.run(asyncio.wait_for(self._listen(until), WITHIN_S))

    async def _listen(self, until):
        while not until():
            await self._listen_once(until)

    async def _listen_once(self, until):
        ticket = await asyncio.to_thread(self.call, "POST", "/api/realtime/ticket")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(ticket["url"]) as socket,
        ):
            cursor = self.seen[-1]["seq"] if self.seen else 0
            await socket.send_json({"type": "replay", "cursor": cursor})
            while not until():
                message = await socket.receive_json()
                if message["type"] == "error":
                    return
                if message["type"] != "ready" and message["seq"] not in {
                    event["seq"] for event in self.seen
                }:
                    self.seen.append(message)
