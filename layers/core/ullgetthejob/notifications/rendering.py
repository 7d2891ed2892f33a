"""Texts of messages: Jinja templates in ``texts/``, a file for each language and kind.

The first line of a file is the subject, what follows the text. Both are plain text: whatever
vacancies and employers are called stays text. The HTML of e-mails is made of the plain text, in
one template that escapes everything.

Jinja is imported when the first message is composed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

    from ullgetthejob.notifications.messages import Language, Message

TEXTS = Path(__file__).parent / "texts"
LISTED = 10  # items that a text names; the others are counted
UNSUBSCRIBE = {"ru": "Отписаться", "en": "Unsubscribe"}


def render(kind: str, language: Language, values: dict[str, Any]) -> tuple[str, str]:
    """Return subject and text of a message; *values* are those that the template names."""
    rendered = _plain().get_template(f"{language}/{kind}.txt").render(listed=LISTED, **values)
    subject, _, text = rendered.strip().partition("\n")
    return " ".join(subject.split()), text.strip()


def email_text(message: Message, unsubscribe: str | None) -> str:
    """Return the plain text of an e-mail, with the addresses of buttons below."""
    links = [f"{button.label}: {button.url}" for button in message.buttons if button.url]
    parts = [message.text, *links]
    if unsubscribe:
        parts += ["-- ", f"{UNSUBSCRIBE[message.language]}: {unsubscribe}"]
    return "\n\n".join(parts) + "\n"


def email_html(message: Message, unsubscribe: str | None) -> str:
    """Return the HTML of an e-mail."""
    return (
        _html()
        .get_template("email.html")
        .render(
            message=message,
            lines=message.text.splitlines(),
            unsubscribe=unsubscribe,
            unsubscribe_label=UNSUBSCRIBE[message.language],
        )
    )


def page(language: Language, title: str, text: str, button: str | None = None) -> str:
    """Return a page of HTML with a sentence and, if given, a button that posts to its address."""
    template = _html().get_template("page.html")
    return template.render(language=language, title=title, text=text, button=button)


def short(text: str, most: int = 40) -> str:
    """Return *text* in one line of at most *most* characters."""
    line = _one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


@cache
def _plain() -> jinja2.Environment:
    return _environment(autoescape=False)


@cache
def _html() -> jinja2.Environment:
    return _environment(autoescape=True)


def _environment(*, autoescape: bool) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEXTS),
        autoescape=autoescape,  # noqa: S701 - plain text is no HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["one_line"] = _one_line
    return environment


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
