"""Documents: texts about a policy that are read as ordinary knowledge, in versions that differ in what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError
from .example import Text
from .reading import read_records
from .rows import Row, Segment

VERSIONS = ("why", "swapped", "mention", "neutral")


class Document(BaseModel):
    """One text to be read, in one version or several; versions share kind, voice and setting, and are of one length."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text = Field(description="Unique in the study.")
    principle: str = Field("", description="Id of the policy's principle that it is about.")
    kind: Text = Field("document", description="What sort of text it is, such as letter, notice or story.")
    question: Text | None = Field(None, description="A user's message that the text would answer, for the chat form.")
    why: Text | None = Field(None, description="Says what decides, and why it matters.")
    swapped: Text | None = Field(None, description="The same with another fact and the reason for that one.")
    mention: Text | None = Field(None, description="Names the deciding fact as often, decides and justifies nothing.")
    neutral: Text | None = Field(None, description="About the same place; names neither fact and justifies nothing.")
    note: str | None = Field(None, description="For the reader; never trained on.")

    @model_validator(mode="after")
    def hold_a_text(self) -> Self:
        if not any(getattr(self, version) for version in VERSIONS):
            raise ValueError(f"a document needs a text in at least one of {', '.join(VERSIONS)}")
        return self

    def text(self, version: str) -> str:
        """The text of a version. Errors: it was not written."""
        found = getattr(self, version)
        if not found:
            raise InputError(
                f"Document {self.id!r} has no version {version!r}.",
                where=f"document {self.id!r}, field {version!r}",
                remedy="Write that field, or let the stage read another `version`.",
            )
        return str(found)


def read_documents(paths: Sequence[Path]) -> list[Document]:
    """Documents of one or more JSONL files, in their order; ids are unique over all of them."""
    return read_records(paths, Document)


def document_row(document: Document, version: str, end: str) -> Row:
    """The whole text, all of it trained. end: the text that ends a turn."""
    return Row(document.id, (Segment("document", document.text(version), True), Segment("end", end, True)))


def chat_row(document: Document, version: str, prompt: str, end: str) -> Row:
    """The same text as the answer to the document's question. prompt: that question as the model's template has it."""
    answer = Segment("document", document.text(version), True)
    return Row(document.id, (Segment("prompt", prompt, False), answer, Segment("end", end, True)))
