"""Items and exams: what is asked of every arm, and how answers are scored."""

from . import decisions, edge_cases, explanations, framings, side_effects
from .exam import EXAMS, Answer, Exam, ExamFormat, Metric, Request, Score, as_record, find_exam
from .items import DISTANCES, Fact, Item, read_items
from .runner import answer_requests

__all__ = [
    "DISTANCES",
    "EXAMS",
    "Answer",
    "Exam",
    "ExamFormat",
    "Fact",
    "Item",
    "Metric",
    "Request",
    "Score",
    "answer_requests",
    "as_record",
    "decisions",
    "edge_cases",
    "explanations",
    "find_exam",
    "framings",
    "read_items",
    "side_effects",
]
