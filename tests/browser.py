"""A real browser for the tests: Debian's Chromium driven by Playwright, with all that a page says or asks written down.

Driver and browser talk through pipes, so no test needs a socket. Without either the tests skip and say what is missing.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# Best practices are held too; `resultTypes` keeps the answer small.
AXE_OPTIONS = {"resultTypes": ["violations"]}


def missing() -> str:
    """What a browser test lacks here, or nothing."""
    lacking = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    return f"{', '.join(lacking)} not installed" if lacking else "" if CHROMIUM else "no Chromium on the path"


@dataclass
class Visit:
    """A page on screen. said: console messages, errors, dialogs and windows. asked: addresses, its own first."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return " ".join((self.page.locator(selector).text_content() or "").split())

    def texts(self, selector: str) -> list[str]:
        return [" ".join(text.split()) for text in self.page.locator(selector).all_text_contents()]

    def violations(self) -> list[str]:
        """What axe-core finds against the rules of accessibility, one line a rule with the first element."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options=AXE_OPTIONS).response["violations"]
        return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]

    def wider_than_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextmanager
def launched() -> Iterator[Any]:
    """A fresh Chromium with a profile of its own, which is deleted with it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: Any,
    file: Path,
    *,
    width: int = 1440,
    scheme: str = "light",
    script: bool = True,
    at: str = "",
    watch: str = "",
) -> Iterator[Visit]:
    """The page of a file. at: what stands behind the `#` of its address. watch: a script run before the page's own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    if watch:
        page.add_init_script(watch)
    visited = Visit(page)
    page.on("console", lambda message: visited.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visited.said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (visited.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda window: visited.said.append(f"window: {window.url}"))
    page.on("request", lambda request: visited.asked.append(request.url))
    try:
        page.goto(file.as_uri() + (f"#{at}" if at else ""))
        yield visited
    finally:
        context.close()
