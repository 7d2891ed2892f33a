"""What the bot answers, in both languages. Plain text: Telegram shows no markup of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ullgetthejob.notifications.messages import Language

TEXTS: dict[str, dict[Language, str]] = {
    "paired": {
        "ru": "Готово: уведомления будут приходить сюда.\n"
        "/handoff пришлёт ссылку на отклики, которые ждут вас. /stop отключит уведомления.",
        "en": "Done: notifications will arrive here.\n"
        "/handoff sends a link to the applications that wait for you. /stop turns them off.",
    },
    "moved": {
        "ru": "Готово: уведомления будут приходить сюда.\n"
        "Раньше этот чат был привязан к другому аккаунту: его уведомления сюда больше не придут.",
        "en": "Done: notifications will arrive here.\n"
        "This chat was paired with another account before: its notifications no longer arrive.",
    },
    "link_invalid": {
        "ru": "Эта ссылка уже использована или истекла: она действует 15 минут. "
        "Получите новую там, где вы взяли эту.",
        "en": "This link was used already or has ended: it is valid for 15 minutes. "
        "Get a new one where you got this one.",
    },
    "no_token": {
        "ru": "Чтобы получать уведомления, откройте ссылку на этого бота из настроек уведомлений: "
        "без неё я не знаю, чей это чат.",
        "en": "To get notifications, follow the link to this bot from the settings of "
        "notifications: without it I do not know whose chat this is.",
    },
    "group": {
        "ru": "Уведомления приходят только в личный чат со мной, не в группы.",
        "en": "Notifications arrive in a private chat with me only, not in groups.",
    },
    "stopped": {
        "ru": "Уведомления отключены. Чтобы включить их снова, откройте новую ссылку из настроек.",
        "en": "Notifications are off. To turn them on again, follow a new link from the settings.",
    },
    "not_paired": {
        "ru": "Этот чат не привязан ни к какому аккаунту. Откройте ссылку из настроек уведомлений.",
        "en": "This chat is not paired with an account. Follow the link from the settings of "
        "notifications.",
    },
    "handoff": {
        "ru": "Отклики, которые ждут вас. Ссылка открывается один раз и действует час:\n{url}",
        "en": "The applications that wait for you. The link opens once, within an hour:\n{url}",
    },
    "unknown": {
        "ru": "Я понимаю /handoff (отклики, которые ждут вас) и /stop (отключить уведомления).",
        "en": "I understand /handoff (what waits for you) and /stop (turn notifications off).",
    },
    # Answers to buttons: at most 200 characters.
    "approved": {
        "ru": "Одобрено: отклик будет отправлен.",
        "en": "Approved: the application will be sent.",
    },
    "access": {
        "ru": "Сначала hh.ru ждёт вас: /handoff пришлёт ссылку на страницу.",
        "en": "First hh.ru wants something of you: /handoff sends a link to the page.",
    },
    "already_sent": {
        "ru": "Этот отклик уже отправлен.",
        "en": "This application was sent already.",
    },
    "skipped": {"ru": "Пропущено: отклик не отправлен.", "en": "Skipped: nothing was sent."},
    "changed": {
        "ru": "Письмо изменилось: посмотрите его ещё раз, прежде чем одобрять.",
        "en": "The letter has changed: look at it again before you approve it.",
    },
    "not_waiting": {
        "ru": "Этот отклик больше не ждёт решения.",
        "en": "This application no longer waits for a decision.",
    },
    "opened": {"ru": "Ссылка отправлена.", "en": "The link was sent."},
}


def text(name: str, language: Language, **values: str) -> str:
    """Return a text of :data:`TEXTS` with *values*."""
    return TEXTS[name][language].format(**values)


def language_of(code: str | None) -> Language:
    """Return the language for one of Telegram's ``language_code``s: Russian, unless another."""
    return "ru" if (code or "ru").lower().startswith("ru") else "en"
