"""What actions and reasons say: refusals that offer nothing, reasons that only restate or that argue the other way."""

from __future__ import annotations

import re
from collections import Counter

from ...evals.answer_reader import sentence_kinds
from ...policy import RESTATED_SHARE, restates
from ...text import content_words
from .check import CannotRun, Corpus, Found, check, cut, share_of
from .lesson import Lesson
from .wording import READ_AT_MOST, mostly_latin

# Some flat refusals are right. Where one lesson in ten is one, refusing is what is learnt.
FLAT_SHARE = 0.1
DECLINING = frozenset(
    "decline declines declined refuse refuses refused no deny denied reject rejected withhold".split()
)
HELPING = frozenset(
    "help helps helped comply complies complied yes accept accepted assist allow allowed answer".split()
)
# Phrases by which a reason argues for helping, and by which it argues against. Each must be plain by itself: what can
# stand in a reason for either side ("it is hers to share") is in neither.
FOR_HELPING = re.compile(
    r"\b(?:nothing (?:here )?(?:is )?(?:wrong|improper|unfair|secret|risky|dangerous|harmful|dishonest)"
    r"|(?:poses?|carries|does|do|brings?|causes?|is|there's) (?:no|little) (?:\w+ )?(?:harm|danger|risk|threat)\b"
    r"|(?:no one|nobody|no person) (?:else )?(?:is|gets|will be|would be|can be|could be|is being) "
    r"(?:hurt|harmed|deceived|misled|fooled|wronged|cheated|endangered|put at risk|at risk)"
    r"|(?:is|are|it's) (?:quite |perfectly |entirely |completely |totally )?harmless"
    r"|(?:perfectly|entirely|completely) (?:safe|fine|legal|legitimate)"
    r"|(?:there is|there's|i see|i have) no (?:good )?reason (?:not to|to refuse|to decline|to withhold|to hold back)"
    r"|(?:refusing|declining|withholding|a refusal) (?:\w+ ){0,3}(?:would|could|might) (?:only |just )?"
    r"(?:hurt|harm|cost|leave|fail|insult|help no|protect no)"
    r"|(?:you have|she has|he has|they have) every right to"
    r"|(?:helping|answering|sharing) (?:\w+ ){0,3}(?:is|would be) (?:safe|fine|right|harmless|the right thing)"
    r"|so (?:it is |it's )?(?:safe|right|fine) to help|so i (?:will |can |should |'ll )?(?:gladly )?help)"
)
AGAINST_HELPING = re.compile(
    r"\b(?:(?:would|could|might|will) (?:\w+ ){0,2}"
    r"(?:harm|hurt|endanger|injure|ruin|deceive|mislead|frighten|humiliate|defraud|kill|poison|betray|violate"
    r"|jeopardi[sz]e|undermine|enable (?:abuse|harm|fraud)|lead to (?:\w+ )?harm|cause (?:\w+ )?harm)\b"
    r"|puts? (?:\w+ ){1,4}(?:at risk|in danger)"
    r"|(?:is|are|be|being) (?:too |very |simply )?(?:dangerous|harmful|unethical|illegal|unsafe|dishonest)\b"
    r"|(?:refusing|declining|a refusal) (?:\w+ ){0,2}(?:protects|keeps|spares|prevents|respects|is right)"
    r"|(?:helping|answering|sharing|doing (?:so|this|that|it)) (?:\w+ ){0,3}(?:would|could|might) (?:\w+ )?"
    r"(?:harm|hurt|endanger|wrong|betray|cost|rob|break|expose))"
)
REFUSING = re.compile(
    r"\b(?:so |therefore |and )?i (?:won't|can't|cannot|will not|must not|shouldn't|refuse|decline)\b"
)
# Words around an argument by which it is denied, doubted or another's, and so not the reason's own.
NOT_ITS_OWN = re.compile(
    r"\b(?:no|not|never|nobody|nothing|without|neither|cannot|whether|if|unless|though|although|seems?|looks?|sounds?"
    r"|claims?|says?|call(?:s|ed)?)\b|n't\b"
)
AROUND = 30  # characters on either side in which such a word counts


def side_of(lesson: Lesson) -> str:
    """declines, helps, or nothing where neither is plain: by the decision's name, else by the action's sentences."""
    decision = lesson.decision.lower()
    if decision in DECLINING | HELPING:
        return "declines" if decision in DECLINING else "helps"
    if decision:
        return ""
    kinds = sentence_kinds(lesson.action[:READ_AT_MOST])
    if kinds and kinds[0] == "withholds":
        return "declines"
    return "helps" if kinds and "withholds" not in kinds else ""


def in_english(corpus: Corpus) -> None:
    if not mostly_latin(lesson.action for lesson in corpus.lessons):
        raise CannotRun("most letters are not of the Latin alphabet, and the check reads English")


@check(
    "flat refusals",
    "Actions that only refuse, and offer or give nothing beside. Flagged where they are more than "
    f"{FLAT_SHARE:.0%} of all actions. Sentences are read by rules, in English; an offer in unusual words is missed.",
)
def flat_refusals(corpus: Corpus) -> Found:
    in_english(corpus)
    read = [(lesson, sentence_kinds(lesson.action[:READ_AT_MOST])) for lesson in corpus.lessons]
    refusing = [lesson for lesson, kinds in read if "withholds" in kinds]
    flat = [lesson for lesson, kinds in read if set(kinds) == {"withholds"}]
    count = len(corpus.lessons)
    numbers = {
        "actions": count,
        "refuse_something": len(refusing),
        "flat": len(flat),
        "share": share_of(len(flat), count),
    }
    return Found(
        numbers,
        [(lesson.id, f"“{cut(lesson.action)}”") for lesson in flat] if len(flat) > FLAT_SHARE * count else (),
    )


@check(
    "reasons that only restate",
    f"Reasons of whose content words {RESTATED_SHARE:.0%} or more stand already in the rule of their principle, or in "
    "the fact: the mention where the lesson has one, else the situation. It compares words: a restatement in other "
    "words is not seen, and a short reason that needs the words of its case may be flagged though it says more.",
)
def restating(corpus: Corpus) -> Found:
    reasons = corpus.written("reason")
    if not reasons:
        raise CannotRun("no lesson has a reason")
    rules = {one.id: one.rule for one in corpus.policy.principles} if corpus.policy else {}
    counts: Counter[str] = Counter()
    flagged = []
    for lesson, reason in reasons:
        fact = lesson.texts.get("mention") or lesson.situation
        if not content_words(reason):
            what = "nothing"
        elif restates(reason, rules.get(lesson.principle, "")):
            what = "the rule"
        elif fact and restates(reason, fact):
            what = "the mention" if lesson.texts.get("mention") else "the situation"
        else:
            continue
        counts[what] += 1
        flagged.append((lesson.id, f"says {what}{' again' if what != 'nothing' else ''}: “{cut(reason)}”"))
    ruled = sum(lesson.principle in rules for lesson, _ in reasons)
    return Found({"reasons": len(reasons), "held_against_a_rule": ruled, "restating": dict(counts)}, flagged)


@check(
    "reasons that contradict the action",
    "Reasons that argue for helping beside an action that declines, or against it beside one that helps. The action's "
    "side is told by its decision, or by its sentences where none is named; the reason's side by a list of plain "
    "English phrases (“no harm in”, “would endanger”, “I won't”). It sees blunt contradictions alone: an argument in "
    "other words, a subtle one and irony pass unseen, a reason that weighs both sides is not judged, and one that "
    "quotes the other side may be flagged wrongly. Of 479 hand-written reasons of the bundled studies, on which its "
    "phrases were mended, it tells the side of 13, none wrongly.",
)
def contradicting(corpus: Corpus) -> Found:
    reasons = corpus.written("reason")
    if not reasons:
        raise CannotRun("no lesson has a reason")
    in_english(corpus)
    sided = [(lesson, reason, side) for lesson, reason in reasons if (side := side_of(lesson))]
    if not sided:
        raise CannotRun("no decision or action tells whether it helps or declines")
    argued = [(lesson, reason, side, argues(reason)) for lesson, reason, side in sided]
    flagged = [
        (lesson.id, f"the action {side}; the reason: “{cut(reason)}”")
        for lesson, reason, side, other in argued
        if other and other != side
    ]
    numbers = {
        "reasons": len(reasons),
        "side_of_the_action_told": len(sided),
        "side_of_the_reason_told": sum(bool(other) for *_, other in argued),
        "contradicting": len(flagged),
    }
    return Found(numbers, flagged)


def argues(reason: str) -> str:
    """declines, helps, or nothing: neither is said, or both."""
    text = reason[:READ_AT_MOST].lower().replace("’", "'")
    helps = own_argument(FOR_HELPING, text)
    declines = own_argument(AGAINST_HELPING, text) or bool(REFUSING.search(text))
    return "" if helps == declines else "helps" if helps else "declines"


def own_argument(phrases: re.Pattern[str], text: str) -> bool:
    return any(
        not NOT_ITS_OWN.search(
            f"{text[max(0, at.start() - AROUND) : at.start()]} | {text[at.end() : at.end() + AROUND]}"
        )
        for at in phrases.finditer(text)
    )
