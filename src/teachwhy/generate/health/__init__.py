"""Corpus health."""


def corpus_health(lessons, policy, items):
    return {"lessons": len(lessons), "checks": []}


def health_page(record):
    return "<p>"


def health_table(record):
    return "health"


def lessons_of(records):
    return iter(records)
