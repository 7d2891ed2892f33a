"""POST /telegram: the webhook of the Telegram bot."""

from ullgetthejob import bootstrap
from ullgetthejob.notifications import telegram_updates
from ullgetthejob.notifications.telegram_updates import Processed, Update
from ullgetthejob.platform import settings
from ullgetthejob.platform.context import Context
from ullgetthejob.platform.http import TELEGRAM, Api
from ullgetthejob.platform.pages import Request

settings.require(
    *settings.USER_TOKENS,
    settings.TELEGRAM_API_URL,
    settings.TELEGRAM_BOT_TOKEN,
    settings.TELEGRAM_WEBHOOK_SECRET,
    settings.ONE_TIME_TABLE,
    settings.TOKEN_KEY_ID,
    settings.PUBLIC_URL,
    settings.APPLIER_QUEUE_URL,
    settings.BROADCASTER_QUEUE_URL,
)

api = Api(open_context=bootstrap.open_context)


@api.post("/telegram", auth=TELEGRAM)
def receive_update(body: Update, request: Request, context: Context) -> Processed:
    """Process what a person wrote or pressed in the bot's chat; Telegram repeats it until 200."""
    return telegram_updates.process(body, context, origin=request.origin)


handler = api.handler
