"""Lessons written by a teacher model, and the health of a corpus."""
