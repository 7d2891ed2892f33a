"""An employer writes, and the person replies, through the running local cloud."""

from tests.fixtures.waiting import until
from tests.harness.connected_cloud import Client, log_in

QUESTION = "Когда вы готовы выйти?"
INTERVAL_S = 300


def test_employer_writes_and_the_person_replies_once(cloud):
    cloud.forget_pauses()
    _, jwt = log_in(cloud, "olga")
    client = Client(cloud, jwt)
    [negotiation] = cloud.sandbox("POST", "/people/olga/applications", {})["negotiation_ids"]
    act = {"act": "message", "text": QUESTION}
    cloud.sandbox("POST", f"/applications/{negotiation}/act", act)
    cloud.sandbox("POST", "/clock", {"advance_seconds": INTERVAL_S})
    client.listen(lambda: any(event["type"] == "message.received" for event in client.seen))
    [event] = [event for event in client.seen if event["type"] == "message.received"]
    assert QUESTION not in str(event)
    path = f"/api/applications/{event['data']['application_id']}/messages"
    shown = client.call("GET", path)["items"]
    assert (shown[0]["message_id"], shown[0]["text"]) == (event["data"]["message_id"], QUESTION)
    for _ in range(2):
        replied = client.call("POST", path, {"text": "С декабря", "idempotency_key": "press"})
    until(
        lambda: client.call("GET", path)["items"][0],
        lambda item: (
            (item["message_id"], item["state"]) == (replied["message"]["message_id"], "sent")
        ),
    )
    talk = cloud.sandbox("GET", f"/applications/{negotiation}/messages")["messages"]
    assert [message["text"] for message in talk].count("С декабря") == 1
