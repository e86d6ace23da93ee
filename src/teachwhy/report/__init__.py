"""Findings for machines, the one-file page for people, and the table for the terminal."""

from .findings import SCHEMA_VERSION
from .page import render_report
from .table import result_table

__all__ = ["SCHEMA_VERSION", "render_report", "result_table"]
