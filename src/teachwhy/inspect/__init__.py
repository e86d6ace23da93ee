"""Inspect: the exams as its tasks, trained arms as its models, and its logs as records of a run."""
