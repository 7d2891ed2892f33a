"""/api/realtime/*: tickets for the WebSocket."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform import clock
from ullgetthejob.platform.http import USER_OR_SERVICE, Api
from ullgetthejob.realtime import tickets
from ullgetthejob.realtime.tickets import Ticket, TicketBody

api = Api(people)


@api.post("/api/realtime/ticket", who=USER_OR_SERVICE)
def issue_ticket(body: TicketBody, person: Person) -> Ticket:  # noqa: ARG001 - it names the person
    """A ticket for the WebSocket: good once, within a minute."""
    return tickets.issue(person=person, now=clock.now())


handler = api.handler
