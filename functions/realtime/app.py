"""/api/realtime/*: tickets for the WebSocket; and a test post of the public feed."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import clock, settings
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import SERVICE, USER_OR_SERVICE, Api
from ullgetthejob.public_feed import publisher
from ullgetthejob.public_feed.publisher import Dummy
from ullgetthejob.realtime import tickets
from ullgetthejob.realtime.models import Ticket, TicketBody

settings.require(
    *settings.SERVICE_CALLS,
    settings.ONE_TIME_TABLE,
    settings.API_BASE_URL,
    settings.BFF_BROADCAST,
    settings.WEBSOCKET_URL,
)

api = Api(people)


@api.post("/api/realtime/ticket", auth=USER_OR_SERVICE)
def issue_ticket(body: TicketBody, person: Person) -> Ticket:  # noqa: ARG001 - it names the person
    """Return a ticket for the WebSocket, which is valid once, for a minute."""
    return Ticket(**vars(tickets.issue(person=person, now=clock.now())))


@api.post("/api/jobs/broadcast-dummy", auth=SERVICE, refuses=(409,))
def broadcast_dummy(caller: Caller) -> Dummy:
    """Post an invented vacancy to the BFF at once, as the public feed posts new ones."""
    return publisher.post_dummy(request_id=caller.request_id, now=clock.now())


handler = api.handler
