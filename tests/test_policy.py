"""The policy document: what is read from Markdown, and what is found missing or doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from teachwhy.errors import InputError
from teachwhy.policy import Policy, check_policy, parse_policy, read_policy, restates

FULL = """---
title: Two rules
opening: Mind these.
---
# Rules

Some text for readers.

## door: The front door
Rule: Lock the door
when night falls.
Why: People asleep cannot watch.
Boundaries: Not in a fire.

More text for readers, no part of the principle.

### A smaller heading

## lamp
Rule: Light it.

Why: A stranger may fall.
### Background
Nobody has fallen so far.
"""


def parse(text: str) -> Policy:
    return parse_policy(text, Path("policy.md"))


def test_every_part_of_a_principle_is_read():
    door, lamp = parse(FULL).principles
    assert (door.id, door.title, door.line) == ("door", "The front door", 9)
    assert door.rule == "Lock the door when night falls."
    assert door.why == "People asleep cannot watch."
    assert door.boundaries == "Not in a fire."
    assert (lamp.id, lamp.title, lamp.boundaries) == ("lamp", "lamp", "")
    assert lamp.why == "A stranger may fall.", "a smaller heading ends the text before it"
    assert parse(FULL).about == {"title": "Two rules", "opening": "Mind these."}


@pytest.mark.parametrize("mark", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_what_ends_no_line_in_an_editor_ends_none_here(mark):
    policy = parse_policy(
        f"## door: The front{mark}door\r\nRule: Lock{mark}it.\r\nWhy: Some{mark}sleep.\r\n", Path("p.md")
    )
    (principle,) = policy.principles
    assert principle.title == f"The front{mark}door"
    assert (principle.rule, principle.why) == (f"Lock{mark}it.", f"Some{mark}sleep.")


def test_as_a_system_prompt_it_holds_rules_whys_and_boundaries():
    prompt = parse(FULL).as_system_prompt()
    assert prompt.splitlines() == [
        "Mind these.",
        "Lock the door when night falls. Why: People asleep cannot watch. Boundaries: Not in a fire.",
        "Light it. Why: A stranger may fall.",
    ]
    assert parse("## a\nRule: Go.\nWhy: It helps.").as_system_prompt().startswith("Follow this policy.")


def test_a_sound_policy_has_no_findings(tmp_path):
    path = tmp_path / "policy.md"
    path.write_text(tiny.POLICY)
    assert check_policy(path) == []
    assert read_policy(path).ids == ["door", "lamp", "stove"]


def test_findings_come_in_the_order_of_lines_and_name_them(tmp_path):
    path = tmp_path / "policy.md"
    path.write_text("## a\nRule: Go.\n\n## b\nWhy: It is kind.\n\n## a\nRule: Help old men.\nWhy: Help the old men.\n")
    found = [(finding.level, finding.line, finding.message.split(";")[0]) for finding in check_policy(path)]
    assert found == [
        ("error", 1, "Principle 'a' has no `Why:`."),
        ("error", 4, "Principle 'b' has no `Rule:`."),
        ("error", 7, "Two principles have the id 'a'"),
        ("warning", 7, "The why of 'a' only restates its rule"),
    ]
    with pytest.raises(InputError, match="has no `Why:`") as caught:
        read_policy(path)
    assert caught.value.where == f"{path}, line 1"


@pytest.mark.parametrize(
    ("why", "rule", "expected"),
    [
        ("Because the door must be locked at night.", "Lock the door at night, it must be locked.", True),
        ("The lamp is lighted.", "Light the lamp.", False),
        ("Locking the doors.", "Lock every door.", False),
        ("A stranger may fall and be hurt.", "Light the lamp when guests are coming.", False),
        ("Because it is so.", "Light the lamp.", True),
    ],
)
def test_a_why_that_only_restates(why, rule, expected):
    assert restates(why, rule) is expected


def test_a_heading_without_an_id_is_refused_even_right_below_a_text():
    with pytest.raises(InputError, match="has no id") as caught:
        parse("## a\nRule: Go.\nWhy: It helps.\n## Be kind\nRule: Smile.\n")
    assert caught.value.where == "policy.md, line 4"


plain_text = st.text(st.characters(categories=["L", "N", "P"]), min_size=1).filter(lambda text: text[0] not in "#-")


@given(st.lists(st.tuples(plain_text, plain_text), min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(texts):
    parts = [f"## p{number}: Title\nRule: x{rule}\nWhy: y{why}\n" for number, (rule, why) in enumerate(texts)]
    read = parse("\n".join(parts)).principles
    assert [(principle.rule, principle.why) for principle in read] == [(f"x{rule}", f"y{why}") for rule, why in texts]
