"""The tables of a page as a reader sees them: caption, column heads, and rows of cell texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Table:
    """rows: each with the heading of the group of rows that it stands under, and its cells, the first its own head."""

    caption: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[str]]] = field(default_factory=list)


class Tables(HTMLParser):
    """Collects every table of a page. What stands in a `sub` span is set apart from its cell by a bar."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Table] = []
        self.group = ""
        self.text: list[str] | None = None
        self.cells: list[str] = []
        self.grouping = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.found.append(Table())
        elif tag == "tbody":
            self.group = ""
        elif tag == "tr":
            self.cells = []
        elif tag in ("th", "td", "caption"):
            self.text = []
            self.grouping = dict(attrs).get("scope") == "rowgroup"
        elif tag == "span" and dict(attrs).get("class") == "sub" and self.text is not None:
            self.text.append("|")

    def handle_data(self, data: str) -> None:
        if self.text is not None:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td", "caption") and self.text is not None:
            said = " ".join("".join(self.text).split())
            self.text = None
            if tag == "caption":
                self.found[-1].caption = said
            elif self.grouping:
                self.group = said
            else:
                self.cells.append(said)
        elif tag == "tr" and self.cells:
            if self.found[-1].columns:
                self.found[-1].rows.append((self.group, self.cells))
            else:
                self.found[-1].columns = self.cells


def tables_of(page: str) -> list[Table]:
    return Tables(page).found
