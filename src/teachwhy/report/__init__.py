"""Findings for machines, the pages for people, the table for the terminal, and exports of all of them."""

from .answers import Sitting, render_answers
from .compare import comparison_table, labelled, render_comparison
from .export import as_csv, as_markdown, figure_files
from .findings import SCHEMA_VERSION
from .methods import methods
from .page import render_report
from .table import result_table

__all__ = [
    "SCHEMA_VERSION",
    "Sitting",
    "as_csv",
    "as_markdown",
    "comparison_table",
    "figure_files",
    "labelled",
    "methods",
    "render_answers",
    "render_comparison",
    "render_report",
    "result_table",
]
