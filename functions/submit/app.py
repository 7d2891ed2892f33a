"""POST /api/applications/submit: an application is accepted; the applier makes it."""

from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.submit import SubmitBody, Submitted, submit
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.http import SERVICE, Answer, Api

api = Api(people)


@api.post("/api/applications/submit", who=SERVICE, answers=(202,))
def submit_application(body: SubmitBody, person: Person, caller: Caller) -> Answer[Submitted]:
    """Accept an application; the same again is answered with the first one."""
    with postgres.session() as connection:
        accepted = submit(
            body, person=person, caller=caller, connection=connection, now=clock.now()
        )
    return Answer(202, accepted)


handler = api.handler
