"""The policy document: read it from Markdown, check it, show it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, Place
from .text import content_words, load_yaml, read_text, words

HEADING = re.compile(r"^##\s+(?P<id>[A-Za-z0-9_-]+)\s*(?::\s*(?P<title>.*))?$")
OTHER_HEADING = re.compile(r"^##(?!#)")
LABEL = re.compile(r"^(Rule|Why|Boundaries|Neutral|More):\s*(.*)$")
LINE_END = re.compile(r"\r\n?|\n")  # as editors have it; Python would also break a rule at a form feed or U+2028
RESTATED_SHARE = 0.7
# Texts that are to be as long as a why may differ from it by a fifth of its words, or by so many.
LENGTH_SHARE, LENGTH_WORDS = 0.2, 3


@dataclass(frozen=True)
class Principle:
    """One principle: what to do (rule), the value it protects (why), and where it ends (boundaries).

    neutral: text as long as the why that justifies nothing. more: further rules as long as the why. Both are for arms
    that put something else in the place of the why.
    """

    id: str
    title: str
    rule: str
    why: str
    boundaries: str = ""
    line: int = 0
    neutral: str = ""
    more: str = ""

    def record(self) -> dict[str, Any]:
        """Its fields, those left out that few policies have: stamps of policies without them are as they were."""
        return {name: value for name, value in vars(self).items() if value or name not in ("neutral", "more")}


def whole(principle: Principle) -> tuple[str, ...]:
    """Everything that a principle says, in order."""
    return (principle.rule, labelled("Why", principle.why), labelled("Boundaries", principle.boundaries))


def labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if text else ""


@dataclass(frozen=True)
class Policy:
    """A document of principles. `about` is its YAML front matter; file: where it stands, for errors."""

    principles: tuple[Principle, ...]
    about: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    @property
    def ids(self) -> list[str]:
        return [principle.id for principle in self.principles]

    def as_system_prompt(self, parts: Callable[[Principle], Sequence[str]] = whole) -> str:
        """The policy as the text of one system prompt: the opening, then a line for each principle.

        parts: what is said of a principle; rule with why and boundaries where nothing else is asked for.
        """
        opening = str(self.about.get("opening", "Follow this policy."))
        said = (" ".join(part for part in parts(principle) if part) for principle in self.principles)
        return "\n".join([opening, *said])


@dataclass(frozen=True)
class Finding:
    """One remark of `check_policy`. level: "error" (unusable) or "warning" (doubtful). line counts from 1."""

    level: str
    line: int
    message: str


def read_policy(path: Path) -> Policy:
    """Read a policy file; an error names the first thing that makes it unusable."""
    policy = parse_policy(read_text(path), path)
    for finding in findings(policy):
        if finding.level == "error":
            raise InputError(
                finding.message,
                where=str(Place(path, finding.line)),
                remedy="Mend the policy; `teachwhy check POLICY` lists everything at once.",
            )
    return policy


def check_policy(path: Path) -> list[Finding]:
    """Everything that is missing or doubtful in a policy file, in the order of its lines."""
    return findings(parse_policy(read_text(path), path))


def parse_policy(text: str, path: Path) -> Policy:
    """Principles as written, complete or not. Front matter stands between two lines of three dashes."""
    lines = LINE_END.split(text)
    about, start = front_matter(lines, path)
    principles: list[Principle] = []
    parts: dict[str, list[str]] = {}
    heading: tuple[str, str, int] | None = None
    label: str | None = None
    for number, line in enumerate(lines[start:], start + 1):
        if match := HEADING.match(line):
            if heading:
                principles.append(assemble(heading, parts))
            heading, parts, label = (match["id"], match["title"] or match["id"], number), {}, None
        elif OTHER_HEADING.match(line):
            raise InputError(
                f"The heading {line!r} has no id.",
                where=str(Place(path, number)),
                remedy="Write `## id: Title`; an id has letters, digits, - and _.",
            )
        elif match := LABEL.match(line):
            label = match[1]
            parts.setdefault(label, []).append(match[2])
        elif label and line.strip() and not line.startswith("#"):
            parts[label].append(line.strip())
        else:
            label = None
    if heading:
        principles.append(assemble(heading, parts))
    return Policy(tuple(principles), about, str(path))


def front_matter(lines: list[str], path: Path) -> tuple[dict[str, Any], int]:
    """The YAML between the first two `---` lines, and the index of the line after it."""
    if not lines or lines[0].strip() != "---":
        return {}, 0
    ends = [number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"]
    if not ends:
        raise InputError(
            "The YAML front matter is never closed.", where=str(Place(path, 1)), remedy="End it with a line of `---`."
        )
    return load_yaml("\n".join(lines[1 : ends[0]]), path, first_line=2), ends[0] + 1


def assemble(heading: tuple[str, str, int], parts: dict[str, list[str]]) -> Principle:
    identifier, title, line = heading
    texts = {label: " ".join(lines).strip() for label, lines in parts.items()}
    fields = {label.lower(): texts.get(label, "") for label in ("Rule", "Why", "Boundaries", "Neutral", "More")}
    return Principle(identifier, title, line=line, **fields)


def findings(policy: Policy) -> list[Finding]:
    found: list[Finding] = []
    if not policy.principles:
        found.append(Finding("error", 1, "The policy has no principle; each starts with a heading `## id: Title`."))
    first_line: dict[str, int] = {}
    for principle in policy.principles:
        if principle.id in first_line:
            message = (
                f"Two principles have the id {principle.id!r}; the first stands on line {first_line[principle.id]}."
            )
            found.append(Finding("error", principle.line, message))
        first_line.setdefault(principle.id, principle.line)
        found.extend(principle_findings(principle))
    return [*found, *incomplete(policy)]


def incomplete(policy: Policy) -> list[Finding]:
    """A text that some principles have and others lack: the arm made of it needs it of all."""
    found = []
    for label in ("Neutral", "More"):
        lacking = [principle for principle in policy.principles if not getattr(principle, label.lower())]
        if 0 < len(lacking) < len(policy.principles):
            message = f"Principle {lacking[0].id!r} has no `{label}:` and others do; an arm made of it needs all."
            found.append(Finding("warning", lacking[0].line, message))
    return found


def principle_findings(principle: Principle) -> list[Finding]:
    found = []
    if not principle.rule:
        found.append(Finding("error", principle.line, f"Principle {principle.id!r} has no `Rule:`."))
    if not principle.why:
        found.append(Finding("error", principle.line, f"Principle {principle.id!r} has no `Why:`."))
    if principle.rule and principle.why and restates(principle.why, principle.rule):
        message = f"The why of {principle.id!r} only restates its rule; say which value the rule protects."
        found.append(Finding("warning", principle.line, message))
    for label, text in (("Neutral", principle.neutral), ("More", principle.more)):
        found += [
            Finding("warning", principle.line, f"The `{label}:` of {principle.id!r} {fault}")
            for fault in length_faults(text, principle.why)
        ]
    if principle.neutral and principle.why and restates(principle.neutral, principle.why):
        message = f"The `Neutral:` of {principle.id!r} says what its why says; it is to justify nothing."
        found.append(Finding("warning", principle.line, message))
    if principle.more and principle.rule and restates(principle.more, principle.rule):
        message = f"The `More:` of {principle.id!r} only restates its rule; it is to hold further rules."
        found.append(Finding("warning", principle.line, message))
    return found


def length_faults(text: str, why: str) -> list[str]:
    """What is to be said of a text that should be as long as a why and is not."""
    count, wanted = len(words(text)), len(words(why))
    if not text or not why or abs(count - wanted) <= max(LENGTH_WORDS, LENGTH_SHARE * wanted):
        return []
    return [f"has {count} words and its why {wanted}; arms made of them are to be of one length."]


def restates(why: str, rule: str) -> bool:
    """True where most content words of the why already stand in the rule."""
    why_words, rule_words = content_words(why), content_words(rule)
    return not why_words or len(why_words & rule_words) / len(why_words) >= RESTATED_SHARE
