"""Findings for machines and the one-file page for people."""

from .findings import SCHEMA_VERSION
from .page import render_report

__all__ = ["SCHEMA_VERSION", "render_report"]
