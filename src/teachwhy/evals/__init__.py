"""Items and exams: what is asked of every arm, and how answers are scored."""

from . import decisions, edge_cases, explanations, framings, honeypots, refusals, said, side_effects
from .exam import (
    EXAMS,
    Answer,
    Exam,
    ExamFormat,
    Material,
    Metric,
    Request,
    Score,
    Section,
    as_record,
    check_apart,
    find_exam,
)
from .honeypots import agent_loop, next_act
from .items import DISTANCES, Fact, Item, Question, read_items
from .prompt_sets import PromptSet, read_prompts
from .question_sets import read_questions
from .rewards import Reward, Task, check_reward, check_rewarding
from .rewording import WORDINGS, reworded
from .runner import answer_requests
from .sample import sample_items

__all__ = [
    "DISTANCES",
    "EXAMS",
    "WORDINGS",
    "Answer",
    "Exam",
    "ExamFormat",
    "Fact",
    "Item",
    "Material",
    "Metric",
    "PromptSet",
    "Question",
    "Request",
    "Reward",
    "Score",
    "Section",
    "Task",
    "agent_loop",
    "answer_requests",
    "as_record",
    "check_apart",
    "check_reward",
    "check_rewarding",
    "decisions",
    "edge_cases",
    "explanations",
    "find_exam",
    "framings",
    "honeypots",
    "next_act",
    "read_items",
    "read_prompts",
    "read_questions",
    "refusals",
    "reworded",
    "said",
    "sample_items",
    "side_effects",
]
