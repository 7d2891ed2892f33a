"""/api/reviews: what is ready to be sent and waits for its person's yes; and conversations with
employers (/api/applications/{id}/messages)."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.applications.conversations import commands as conversations
from ullgetthejob.applications.conversations.models import (
    MessageQuery,
    Messages,
    Replied,
    ReplyBody,
)
from ullgetthejob.applications.reviews import commands, models
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import USER_OR_SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    *settings.HH_CALLS,
    *settings.HH_APPLICATION,
    settings.TOKEN_KEY_ID_PREVIOUS,
    settings.HH_REDIRECT_URI,
    settings.APP_URL,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(people, bootstrap.open_context_with_hh)


@api.get("/api/reviews", auth=USER_OR_SERVICE)
def show_reviews(query: models.ReviewQuery, person: Person, context: Context) -> models.Reviews:
    """Return a page of what waits for the person's yes, the oldest first."""
    return commands.list_reviews(query, person, context)


@api.post("/api/reviews/approve", auth=USER_OR_SERVICE)
def approve_reviews(
    body: models.ApproveBody, person: Person, context: Context
) -> models.AnsweredAll:
    """Let applications be sent, each with the letter that the person has seen."""
    return commands.approve(body, person, context)


@api.post("/api/reviews/reject", auth=USER_OR_SERVICE)
def reject_reviews(body: models.RejectBody, person: Person, context: Context) -> models.AnsweredAll:
    """Cancel applications; optionally drop such vacancies from now on."""
    return commands.reject(body, person, context)


@api.put("/api/reviews/{id}", auth=USER_OR_SERVICE)
def edit_review(
    id: str, body: models.EditBody, person: Person, context: Context
) -> models.OneReview:
    """Replace the letter, and check it again."""
    return commands.edit(id, body, person, context)


@api.get("/api/applications/{id}/messages", auth=USER_OR_SERVICE)
def show_messages(id: str, query: MessageQuery, person: Person, context: Context) -> Messages:
    """Return a page of the conversation with the employer, the newest message first."""
    return conversations.list_messages(id, query, person, context)


@api.post("/api/applications/{id}/messages", auth=USER_OR_SERVICE, answers=(202,))
def reply(id: str, body: ReplyBody, person: Person, context: Context) -> Response[Replied]:
    """Accept a reply to the employer, once; it is sent soon."""
    return Response(202, conversations.reply(id, body, person, context))


handler = api.handler
