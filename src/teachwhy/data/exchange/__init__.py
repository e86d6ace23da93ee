"""Lessons in the formats of others: OpenAI's, Hugging Face's chats, TRL's data sets."""

from .chat import Telling
from .formats import FORMATS
from .moving import Moved, export_lessons, import_lessons

__all__ = ["FORMATS", "Moved", "Telling", "export_lessons", "import_lessons"]
