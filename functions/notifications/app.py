"""/api/notifications: what a person is told, where and when; the pages behind links of e-mails."""

from ullgetthejob import bootstrap
from ullgetthejob.accounts import people
from ullgetthejob.accounts.people import Person
from ullgetthejob.notifications import commands, models, pages, telegram_pairing
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import ANYONE, USER_OR_SERVICE, Api, Response

settings.require(
    *settings.SERVICE_CALLS,
    settings.BROADCASTER_QUEUE_URL,
    settings.EMAIL_FROM,
    settings.NOTIFIER_QUEUE_URL,
    settings.ONE_TIME_TABLE,
    settings.PUBLIC_URL,
    settings.TELEGRAM_BOT_NAME,
    settings.TELEGRAM_BOT_TOKEN,
    settings.TOKEN_KEY_ID,
    settings.WEBHOOK_ADDRESSES,
)

TESTED = {"answers": (202,), "refuses": (429,)}
api = Api(people, bootstrap.open_context, pages.error_page)


@api.get("/api/notifications", auth=USER_OR_SERVICE)
def show_settings(person: Person, context: Context) -> models.Settings:
    """Return settings, channels, and the latest notifications with what came of them."""
    return commands.show_settings(person, context)


@api.put("/api/notifications", auth=USER_OR_SERVICE)
def replace(body: models.SettingsBody, person: Person, context: Context) -> models.Settings:
    """Replace the settings: language, time zone, quiet hours, digest, and the kinds' channels."""
    return commands.replace_settings(body, person, context)


@api.get("/api/notifications/channels", auth=USER_OR_SERVICE)
def list_channels(person: Person, context: Context) -> models.Channels:
    """Return the channels."""
    return commands.list_channels(person, context)


@api.post("/api/notifications/channels", auth=USER_OR_SERVICE, answers=(201, 200), refuses=(429,))
def add(body: models.ChannelBody, person: Person, context: Context) -> Response[models.OneChannel]:
    """Add a webhook, with a secret shown once, or an e-mail address, which is sent a link to
    confirm it (201); the same address again is the existing channel (200)."""
    channel, is_new = commands.add_channel(body, person, context)
    return Response(201 if is_new else 200, channel)


@api.delete("/api/notifications/channels/{id}", auth=USER_OR_SERVICE)
def delete_channel(id: str, person: Person, context: Context) -> models.Done:
    """Delete a channel, and what waits for it."""
    return commands.delete_channel(id, person, context)


@api.post("/api/notifications/channels/{id}/test", auth=USER_OR_SERVICE, **TESTED)
def test_channel(id: str, person: Person, context: Context) -> Response[models.TestPlanned]:
    """Send a message that tests the channel."""
    return Response(202, commands.test_channel(id, person, context))


@api.post("/api/notifications/channels/{id}/rotate-secret", auth=USER_OR_SERVICE)
def rotate_secret(id: str, person: Person, context: Context) -> models.NewSecret:
    """Replace the secret of a webhook; for a day, both the new and the previous one sign."""
    return commands.rotate_secret(id, person, context)


PAGE = {"answers": (200, 410), "refuses": (400, 413, 422, 503)}
api.get("/notifications/confirm/{token}", auth=ANYONE, **PAGE)(pages.show_confirmation)
api.post("/notifications/confirm/{token}", auth=ANYONE, **PAGE)(pages.confirm)
api.get("/notifications/unsubscribe/{token}", auth=ANYONE, **PAGE)(pages.show_unsubscribing)
api.post("/notifications/unsubscribe/{token}", auth=ANYONE, **PAGE)(pages.unsubscribe)
api.post("/api/notifications/telegram/pairing", auth=USER_OR_SERVICE)(telegram_pairing.issue_link)
handler = api.handler
