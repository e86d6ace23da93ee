"""Findings for machines, the one-file pages for people, and the table for the terminal."""

from .answers import Sitting, render_answers
from .findings import SCHEMA_VERSION
from .page import render_report
from .table import result_table

__all__ = ["SCHEMA_VERSION", "Sitting", "render_answers", "render_report", "result_table"]
