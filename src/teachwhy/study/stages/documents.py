"""The stage `documents`: whole texts about the policy, read as ordinary knowledge before, after or without examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...data import Document, Example, Message, chat_row, document_row, read_documents
from ...errors import InputError
from .stage import Lessons, Making, stage_kind
from .supervised import RowStage


@stage_kind("documents")
class DocumentStage(RowStage):
    """Next-token loss on whole texts, or the same texts as answers in a chat."""

    kind: Literal["documents"]
    files: list[str] = Field(min_length=1, description="Files of documents (JSONL), from the study's folder.")
    version: Literal["why", "swapped", "mention", "neutral"] = Field(
        "why", description="Which version of each document is read."
    )
    form: Literal["document", "chat"] = Field(
        "document", description="chat: each document's question is asked, and its text is the answer."
    )

    def read(self, folder: Path) -> Sequence[Document]:
        return read_documents([folder / name for name in self.files])

    def taught(self, material: Sequence[Document]) -> dict[str, str]:
        texts = {f"document {document.id} ({self.version})": document.text(self.version) for document in material}
        if self.form == "chat":
            texts |= {f"question of document {document.id}": document.question or "" for document in material}
        return texts

    def lessons(self, making: Making) -> Lessons:
        rows = [self.row(document, making) for document in making.material]
        return self.of_rows(making, rows, self.settings(making.own.settings))

    def row(self, document: Document, making: Making) -> Any:
        if self.form == "document":
            return document_row(document, self.version, making.chat.end)
        if not document.question:
            raise InputError(
                f"Document {document.id!r} has no question, which its chat form needs.",
                where=f"document {document.id!r}, field 'question'",
                remedy="Write that field, or set the stage's `form` to document.",
            )
        asked = Message(role="user", content=document.question)
        prompt = making.writing.prompt(Example(id=document.id, messages=[asked], action=document.text(self.version)))
        return chat_row(document, self.version, prompt, making.chat.end)
