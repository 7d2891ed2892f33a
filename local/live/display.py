"""What ``make run`` shows on the terminal: in colour on a terminal, plain where it is piped."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

# The styles of Rich, by the event that a line of the feed names.
STYLES = {
    "jobs.new": "bold green",
    "application.updated": "cyan",
    "fetch.completed": "dim",
    "rate_limit.updated": "yellow",
    "account.updated": "magenta",
}
SIGNS = {"RUR": "₽", "RUB": "₽", "USD": "$", "EUR": "€", "KZT": "₸", "BYR": "Br"}
_SALARY = re.compile(r"(?P<amount>(?:from |to )?\d+(?:-\d+)?) (?P<currency>[A-Z]{3})(?P<rest>.*)")


def report(text: str) -> None:
    """Show a line of the feed."""
    text = printable(text)
    if not sys.stdout.isatty():
        print(text, flush=True)
        return
    style = next((style for event, style in STYLES.items() if f"  {event}  " in text), "")
    _console().print(Text(text, style=style))


def welcome(took_s: float, addresses: Mapping[str, str], hints: str) -> None:
    """Show what is up, and where; then *hints*."""
    if not sys.stdout.isatty():
        width = max(map(len, addresses))
        listed = "\n".join(f"  {name:<{width}}  {url}" for name, url in addresses.items())
        print(printable(f"\nReady in {took_s:.1f} s.\n\n{listed}\n{hints}"), flush=True)
        return
    table = Table.grid(padding=(0, 2))
    for number, (name, url) in enumerate(addresses.items()):
        style = "bold" if number == 0 else ""
        link = f"{style} link {url}".strip() if url.startswith("http") else style
        table.add_row(Text(name, style="dim"), Text(printable(url), style=link))
    title = f"UllGetTheJob Core, ready in {took_s:.1f} s"
    console = _console()
    console.print(Panel(table, title=title, title_align="left", box=box.ROUNDED, expand=False))
    console.print(Text(printable(hints)))


def money(salary: str | None) -> str | None:
    """Return a salary as a person writes it: ``108 000–158 000 ₽ net`` for
    ``108000-158000 RUR net``; any other text as it is."""
    found = _SALARY.fullmatch(salary or "")
    if found is None:
        return salary
    amount = re.sub(r"\d+", lambda digits: f"{int(digits[0]):,}".replace(",", "\u202f"),
                    found["amount"].replace("-", "–"))  # fmt: skip
    return f"{amount} {SIGNS.get(found['currency'], found['currency'])}{found['rest']}"


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
