"""Reading: a conversation's messages from hh.ru, all pages, when its negotiation has news.

:mod:`ullgetthejob.applications.negotiation_sync` marks a conversation as due in the transaction in
which it learns that its negotiation was updated; a reader whose process ends leaves it due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ullgetthejob.accounts import hh_calls, method_status, people
from ullgetthejob.applications.conversations import store
from ullgetthejob.hh.errors import HHError, HHNotFound
from ullgetthejob.platform import tracing
from ullgetthejob.platform.errors import NeedsPerson, Unavailable
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from ullgetthejob.applications.conversations.store import Conversation
    from ullgetthejob.applications.transitions import AccountTransitions
    from ullgetthejob.hh.models import ConversationMessage, ConversationPage

MAX_PAGES = 10  # of a hundred; of a longer conversation the newest are read
RETRY_INTERVAL = timedelta(minutes=5)
CLOSED_INTERVAL = timedelta(days=1)  # the first pause of a method that hh.ru has closed


@dataclass(frozen=True)
class ConversationReader:
    """The reader of one account's conversations, for the holder of its lease."""

    account: AccountTransitions

    def read_next(self) -> bool:
        """Read the conversation that is due; return whether there was one. However it ends, it is
        not due any more, or later."""
        context = self.account.context
        conversation = store.next_conversation(
            self.account.account_id, connection=context.connection, now=context.now()
        )
        if conversation is None:
            return False
        with tracing.continued(conversation.trace_id):
            self._read_due(conversation)
        return True

    def read(self, conversation: Conversation) -> None:
        """Read a conversation and store what is new. Raises :class:`HHNotFound`, and as
        :func:`.hh_calls.call_as_account`."""
        context = self.account.context
        began_at = context.now()
        messages = self._read_pages(conversation)
        new = store.store(
            conversation,
            messages,
            began_at=began_at,
            connection=context.connection,
            now=context.now(),
        )
        logger.info("a conversation was read", messages=len(messages), new=new)

    def _read_due(self, conversation: Conversation) -> None:
        context = self.account.context
        pause: timedelta | None = RETRY_INTERVAL
        try:
            self.read(conversation)
        except NeedsPerson as error:
            if method_status.closed_method(error) is not None:
                pause = CLOSED_INTERVAL
        except HHNotFound:
            pause = None
        except (HHError, Unavailable) as error:
            logger.info("a conversation was not read", error_type=type(error).__name__)
        else:
            return
        store.schedule_reading(
            conversation.id,
            None if pause is None else context.now() + pause,
            connection=context.connection,
        )

    def _read_pages(self, conversation: Conversation) -> list[ConversationMessage]:
        """Return the messages of a conversation, the oldest first, each once."""
        first = self._read_page(conversation, 0)
        found = {message.id: message for message in first.items}
        for number in range(max(1, first.pages - MAX_PAGES + 1), first.pages):
            page = self._read_page(conversation, number)
            found |= {message.id: message for message in page.items}
        return sorted(found.values(), key=lambda message: message.created_at)

    def _read_page(self, conversation: Conversation, number: int) -> ConversationPage:
        account = self.account
        person = people.find_by_account(account.account_id, user_id=conversation.user_id)
        page: ConversationPage = hh_calls.call_as_account(
            person,
            "messages",
            lambda token: account.context.hh.messages(
                token, conversation.negotiation_id, page=number
            ),
            account.context,
            token=account.token,
        )
        return page
