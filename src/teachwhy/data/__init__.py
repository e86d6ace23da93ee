"""From examples to training rows: examples, arms, and the checks between them."""

from .arm_check import ARM_PROPERTIES, as_table, check_arms_against_why, faults
from .arms import ARMS, Arm, arm, find_arm
from .checks import check_overlap, check_surroundings, check_trained, check_twins, length_table, overlaps
from .document import VERSIONS, Document, chat_row, document_row, read_documents
from .example import TEXTS_BESIDE, Example, Message, Text, read_examples, short_forms
from .nested import check_sizes, nested_part
from .pair import Pair, read_pairs
from .prompt_arms import WITHOUT_WHY
from .reading import field_error, read_records, validated
from .rows import SHARED_KINDS, Row, Segment, Writing
from .woven import sentences

__all__ = [
    "ARMS",
    "ARM_PROPERTIES",
    "SHARED_KINDS",
    "TEXTS_BESIDE",
    "VERSIONS",
    "WITHOUT_WHY",
    "Arm",
    "Document",
    "Example",
    "Message",
    "Pair",
    "Row",
    "Segment",
    "Text",
    "Writing",
    "arm",
    "as_table",
    "chat_row",
    "check_arms_against_why",
    "check_overlap",
    "check_sizes",
    "check_surroundings",
    "check_trained",
    "check_twins",
    "document_row",
    "faults",
    "field_error",
    "find_arm",
    "length_table",
    "nested_part",
    "overlaps",
    "read_documents",
    "read_examples",
    "read_pairs",
    "read_records",
    "sentences",
    "short_forms",
    "validated",
]
