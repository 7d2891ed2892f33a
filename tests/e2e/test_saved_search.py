"""A saved search at work in the running local cloud, with a plain WebSocket client at its end."""

import asyncio
import contextlib
from uuid import uuid4

import aiohttp

from tests.fixtures.waiting import until
from tests.harness.connected_cloud import WITHIN_S, Client, log_in

INTERVAL_S = 300


def pass_interval(cloud):
    cloud.sandbox("POST", "/clock", {"advance_seconds": INTERVAL_S})


def publish(cloud, title):
    return cloud.sandbox("POST", "/vacancies", {"title": title})["id"]


def until_found(client, search_id, number):
    until(
        lambda: client.call("GET", f"/api/schedules/{search_id}")["last_run"]["found"],
        lambda found: (found or 0) >= number,
    )


def test_new_vacancy_is_notified_and_replayed(cloud):
    cloud.forget_pauses()
    _, jwt = log_in(cloud)
    client = Client(cloud, jwt)
    word = f"маяк{uuid4().hex[:8]}"
    first = publish(cloud, f"Смотритель {word}")
    search = {"search": {"text": word}, "interval_seconds": INTERVAL_S}
    made = client.call("POST", "/api/schedules", search)
    assert client.call("POST", "/api/schedules", search)["id"] == made["id"]
    cloud.sandbox("POST", "/clock", {"advance_seconds": 61})
    client.listen(lambda: first in client.jobs)

    second = publish(cloud, f"Электрик {word}")
    pass_interval(cloud)
    client.listen(lambda: second in client.jobs)

    away = []  # the client is disconnected
    for title in ("Механик", "Кладовщик"):
        away.append(publish(cloud, f"{title} {word}"))
        pass_interval(cloud)
        until_found(client, made["id"], 2 + len(away))
    client.listen(lambda: set(away) <= set(client.jobs))
    notified = [job for job in client.jobs if job in {first, second, *away}]
    assert notified == [first, second, *away], "each once, in the order of the runs"
    seqs = [event["seq"] for event in client.seen]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "in order, without a gap"

    now = client.call("POST", f"/api/schedules/{made['id']}/fetch")["run"]
    assert (now["state"], now["new"]) == ("completed", 0)
    assert client.call("DELETE", f"/api/schedules/{made['id']}")["success"] is True


def test_filtered_vacancy_is_counted_and_listed_not_notified(cloud):
    cloud.forget_pauses()
    _, jwt = log_in(cloud, "marina")
    client = Client(cloud, jwt)
    word = f"маяк{uuid4().hex[:8]}"
    client.call("PUT", "/api/filters", {"rules": {"title_words": ["стажёр"]}})
    dropped, kept = publish(cloud, f"Стажёр {word}"), publish(cloud, f"Смотритель {word}")
    search = {"search": {"text": word}, "interval_seconds": INTERVAL_S}
    made = client.call("POST", "/api/schedules", search)
    client.call("POST", f"/api/schedules/{made['id']}/fetch")

    def ended():
        runs = [event["data"] for event in client.seen if event["type"] == "fetch.completed"]
        return [run for run in runs if run["search_id"] == made["id"]]

    client.listen(ended)
    assert (ended()[0]["told"], ended()[0]["filtered"]) == (1, 1)
    assert kept in client.jobs
    assert dropped not in client.jobs
    client.call("PUT", "/api/filters", {"rules": {}})
    path = f"/api/schedules/{made['id']}/matches"
    listed = client.call("GET", f"{path}?filtered=true")["items"]
    assert [(match["id"], match["filtered_by"]) for match in listed] == [(dropped, "title")]
    assert [match["id"] for match in client.call("GET", path)["items"]] == [kept]
    assert client.call("GET", f"/api/schedules/{made['id']}")["filtered"] == 1
    client.call("DELETE", f"/api/schedules/{made['id']}")


def test_disconnect_closes_the_socket_and_foreign_cursor_fails(cloud):
    _, jwt = log_in(cloud, "olga")
    client = Client(cloud, jwt)
    ticket = client.call("POST", "/api/realtime/ticket")

    async def story():
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(ticket["url"])
            await socket.send_json({"type": "replay", "cursor": 10**9})
            assert (await socket.receive_json(timeout=30))["error"] == "bad_cursor"
            await socket.send_json({"type": "subscribe"})
            assert (await socket.receive_json(timeout=30))["type"] == "ready"
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                await session.ws_connect(ticket["url"])
                raise AssertionError("a ticket was good twice")
            await asyncio.to_thread(client.call, "DELETE", "/api/hh/connection")
            while (await socket.receive(timeout=30)).type is not aiohttp.WSMsgType.CLOSED:
                pass

    asyncio.run(asyncio.wait_for(story(), 2 * WITHIN_S))
