"""Debian's Chromium, driven by Playwright, and a local cloud to open in it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 30_000  # as long as API Gateway lets a function answer


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return a running browser."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox to enter
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS + as_root)
        yield browser
        browser.close()


@pytest.fixture
def new_browser(chromium: Browser) -> Iterator[Callable[..., Any]]:
    """Return what opens a page in a separate browser context, without cookies, with *options* of
    the context; *complaints* of the page are what its console shows."""
    contexts = []

    def new(**options: Any) -> Any:
        context = chromium.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page: Any = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()
