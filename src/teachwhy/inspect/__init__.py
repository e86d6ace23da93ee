"""Inspect: the exams as its tasks, trained arms as its models, and its logs as records of a run."""

from .joining import join_logs

__all__ = ["join_logs"]
