"""Outcomes at hh.ru itself reach a person through the running local cloud."""

from tests.fixtures.waiting import until
from tests.harness.connected_cloud import get, log_in


def shown_when(cloud, jwt, holds):
    """Wait until *holds* of the person's applications by negotiation, and return them."""

    def by_negotiation():
        items = get(cloud, "/api/applications", jwt)["items"]
        return {item["negotiation_id"]: item for item in items}

    return until(by_negotiation, holds)


def test_manual_application_and_its_invitation_are_shown(cloud):
    _, jwt = log_in(cloud, "timur")
    made = cloud.sandbox("POST", "/people/timur/applications", {})
    (negotiation,) = made["negotiation_ids"]
    cloud.sandbox("POST", "/clock", {"advance_seconds": 61})  # the sweeper's minute
    first = shown_when(cloud, jwt, lambda found: negotiation in found)[negotiation]
    assert (first["state"], first["by_hand"]) == ("submitted", True)
    cloud.sandbox("POST", f"/applications/{negotiation}/act", {"act": "invitation"})
    cloud.sandbox("POST", "/clock", {"advance_seconds": 12 * 60})
    invited = shown_when(cloud, jwt, lambda found: found[negotiation]["hh_state"] == "invitation")[
        negotiation
    ]
    assert invited["viewed"]
