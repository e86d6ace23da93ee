"""Both pages in a real browser: quiet, whole at every width, usable by keyboard, and deaf to what is put into them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answers_sample import FORMAT, OPTIONS, sample_items, sample_sittings
from browser import Visit, visit
from report_sample import ARMS, sample_results, sample_timings

from teachwhy.evals import Item, find_exam
from teachwhy.report import Sitting, render_answers, render_report

SCREENS = [(width, scheme) for width in (1440, 360) for scheme in ("light", "dark")]
PAGES = ("report.html", "answers.html")
Asked = tuple[str, str]  # item and format


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both pages of the sample."""
    return write_pages(tmp_path_factory.mktemp("run"), sample_results(), sample_sittings())


def write_pages(folder: Path, results: dict[str, Any], sittings: list[Sitting]) -> Path:
    (folder / "report.html").write_text(render_report(results, timings=sample_timings()), encoding="utf-8")
    (folder / "answers.html").write_text(render_answers(results, sittings), encoding="utf-8")
    return folder


# Both pages


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_page_is_quiet_whole_and_usable_by_all(browser: Any, run: Path, name: str, width: int, scheme: str) -> None:
    with visit(browser, run / name, width=width, scheme=scheme) as seen:
        assert not seen.wider_than_screen()
        assert seen.violations() == []
        background = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) < 3 * 64) == (scheme == "dark")
        assert seen.said == []
        assert seen.asked == [(run / name).as_uri()]


@pytest.mark.parametrize("name", PAGES)
def test_page_prints(browser: Any, run: Path, name: str) -> None:
    with visit(browser, run / name) as seen:
        printed = seen.page.pdf()
        assert printed.startswith(b"%PDF")
        assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1
        assert seen.said == []


def test_the_pages_lead_to_each_other(browser: Any, run: Path) -> None:
    with visit(browser, run / "report.html") as seen:
        seen.page.click('a[href="answers.html"]')
        seen.page.wait_for_selector(".question")
        seen.page.click('a[href="report.html"]')
        seen.page.wait_for_selector("#verdict")


def test_without_script_both_pages_say_what_there_is_to_know(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html", script=False) as seen:
        assert "needs JavaScript" in seen.text("header")
        assert not seen.page.locator("form").is_visible()
    with visit(browser, run / "report.html", script=False) as seen:
        assert "+.23" in seen.text("#verdict")


# The page of all answers


def test_counts_of_every_filter_are_those_of_the_stored_scores(browser: Any, run: Path) -> None:
    """Each choice, recounted from the records that went in."""
    kinds = {
        "kind": ("conflict", lambda case, _: case.kind == "conflict"),
        "distance": ("new wording", lambda case, _: case.distance == "new_wording"),
        "principle": ("rule-03", lambda case, _: case.principle == "rule-03"),
        "decision": ("leave", lambda _, score: score.decision == "leave"),
        "state": ("unscored", lambda _, score: score.value is None),
    }
    with visit(browser, run / "answers.html") as seen:
        for name, (value, fits) in kinds.items():
            seen.page.select_option(f"[name={name}]", value)
            assert count(seen) == len(expected(fits)) > 0, name
            seen.page.click("button[type=reset]")
        assert count(seen) == len(expected(lambda *_: True))


def expected(fits: Callable[[Item, Any], bool]) -> set[Asked]:
    """Every question of which one answer's case and first score fit."""
    found: set[Asked] = set()
    for sitting in sample_sittings():
        for score in first_scores(sitting):
            if fits(sitting.cases[score.item], score):
                found.add((score.item, score.format))
    return found


def first_scores(sitting: Sitting) -> list[Any]:
    exam = find_exam(sitting.exam)
    return [exam.score(sitting.cases[answer.item], answer, FORMAT)[0] for answer in sitting.answers]


def count(seen: Visit) -> int:
    seen.page.wait_for_timeout(20)  # a reset is told of before the form is reset
    return int(seen.text("#status").split()[0].replace(",", ""))


def test_arms_that_are_furthest_apart_come_first(browser: Any, run: Path) -> None:
    sums: dict[Asked, dict[str, list[float]]] = {}
    for sitting in sample_sittings():
        for score in first_scores(sitting):
            if score.value is not None:
                sums.setdefault((score.item, score.format), {}).setdefault(sitting.arm, []).append(score.value)
    means = {asked: [sum(of) / len(of) for of in arms.values()] for asked, arms in sums.items()}
    apart = {asked for asked, of in means.items() if min(of) < 0.5 < max(of)}
    with visit(browser, run / "answers.html") as seen:
        assert seen.text("#status").endswith(f"disagree on {len(apart)}.")
        furthest = max(max(of) - min(of) for of in means.values())
        shown = [(name, "off" if "off-format" in about else "own") for name, about in heads(seen)]
        assert all(max(means[asked]) - min(means[asked]) == furthest for asked in shown)
        seen.page.check("[name=disagree]")
        assert count(seen) == len(apart)
        seen.page.select_option("[name=order]", "asked")
        assert heads(seen)[0][0] == next(name for name, format in means if (name, format) in apart)


def heads(seen: Visit) -> list[tuple[str, str]]:
    return list(zip(seen.texts(".question h3"), seen.texts(".question > p"), strict=True))


def test_arms_not_shown_have_no_card_and_no_say(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html") as seen:
        for arm in ARMS:
            if arm not in ("what", "why"):
                seen.page.uncheck(f"[name=arm][value={arm}]")
        assert set(seen.texts(".answer h4")) == {"what", "why"}
        disagreeing = int(seen.text("#status").split()[-1].rstrip("."))
        assert 0 < disagreeing < len(expected(lambda *_: True))
        seen.page.uncheck("[name=arm][value=why]")
        assert seen.text("#status").endswith("disagree on 0.")


def test_search_by_keyboard_alone(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html") as seen:
        keys = seen.page.keyboard
        keys.press("Tab")  # the link to the report
        keys.press("Tab")
        assert seen.page.evaluate("document.activeElement.id") == "words"
        keys.type("GUEST should be asked")
        wanted = expected_words("guest", "should", "be", "asked")
        assert count(seen) == len(wanted) > 0
        assert "I think the guest should be asked" in seen.text(".question >> nth=0")
        assert seen.page.evaluate("CSS.highlights.get('words').size") > 0
        keys.press("Control+A")
        keys.type('"asked should"')
        assert count(seen) == 0
        assert seen.text("#range") == "None"
        keys.press("Control+A")
        keys.press("Delete")
        assert count(seen) == len(expected(lambda *_: True))


def expected_words(*words: str) -> set[Asked]:
    return {
        (answer.item, answer.format)
        for sitting in sample_sittings()
        for answer in sitting.answers
        for text in (answer.text.lower(), f"{answer.item} {sitting.cases[answer.item].prompt.lower()}")
        if all(word in text for word in words)
    }


def test_choosing_and_turning_pages_by_keyboard(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html") as seen:
        keys = seen.page.keyboard
        seen.page.focus("[name=kind]")
        keys.press("a")  # agree
        assert count(seen) == len(expected(lambda case, _: case.kind == "agree"))
        before = seen.texts(".question h3")
        seen.page.focus("#on")
        keys.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "questions"
        assert seen.text("#range").startswith("11 to 20")
        assert seen.texts(".question h3") != before
        seen.page.focus("#back")
        keys.press("Enter")
        assert seen.texts(".question h3") == before
        assert seen.page.is_disabled("#back")


def test_another_seed_by_arrow_key_shows_its_own_answer(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html", at="kind=agree&format=own+format&order=asked") as seen:
        name = seen.texts(".question h3")[0]
        card = seen.page.locator(".question >> nth=0").locator(".answer", has=seen.page.get_by_text("why", exact=True))
        radios = card.locator("input")
        radios.first.focus()
        for seed in (0, 1, 2):
            (said,) = [
                answer.text
                for sitting in sample_sittings()
                if (sitting.arm, sitting.seed) == ("why", seed)
                for answer in sitting.answers
                if (answer.item, answer.format) == (name, "own")
            ]
            reason, action = said.removeprefix("Reason: ").split("\nAction: ")
            assert card.locator(".part-reason").inner_text() == reason
            assert card.locator(".part-action").inner_text() == action
            seen.page.keyboard.press("ArrowDown")


def test_a_search_shows_the_seed_that_said_it(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html", at='words="night 7"') as seen:
        assert count(seen) > 0
        for text in seen.texts(".question"):
            assert "night 7" in text


def test_a_view_stands_in_the_address_and_comes_back(browser: Any, run: Path) -> None:
    with visit(browser, run / "answers.html") as seen:
        seen.page.fill("[name=words]", "rule-01")
        seen.page.select_option("[name=kind]", "conflict")
        seen.page.uncheck("[name=arm][value=base]")
        shown, address = count(seen), seen.page.url
        assert seen.said == []
    with visit(browser, run / "answers.html", at=address.partition("#")[2]) as again:
        assert count(again) == shown
        assert not again.page.is_checked("[name=arm][value=base]")
        assert again.page.input_value("[name=words]") == "rule-01"


def test_an_address_with_nonsense_in_it_shows_everything(browser: Any, run: Path) -> None:
    at = "length=3&__proto__=1&arm=x&no-arm=nobody&kind=none-such&order=%00&words"
    with visit(browser, run / "answers.html", at=at) as seen:
        assert count(seen) == len(expected(lambda *_: True))
        assert seen.said == []


# What is put in to break out

PROBE = "window.hacked=(window.hacked||0)+1"
HOSTILE = {
    "script": f"<script>{PROBE}</script>",
    "end of script": f"</script><script>{PROBE}</script>",
    "comment": f"<!--<script>{PROBE}//--></script>",
    "image": f"<img src=x onerror='{PROBE}'><svg onload={PROBE}>",
    "attribute": f"\"' autofocus onfocus={PROBE} x='\"",
    "link": f"[here](javascript:{PROBE}) <a href='javascript:{PROBE}'>here</a>",
    "template": "{{7*7}} ${7*7} {% include 'page.css' %} #{7*7}",
    "style": "</style><style>*{display:none}</style><link rel=stylesheet href=//x.test/y.css>",
    "document": "]]></pre></details></article></main><meta http-equiv=refresh content='0;url=//x.y'><base href=//x.y>",
    "null bytes": "before\0after\0",
    "direction": "left \u202eright to left\u202c \u2066isolated \u05e9\u05dc\u05d5\u05dd \u0645\u0631",
    "unseen": "zero\u200bwidth \ufeff tags\U000e0041\U000e0042 \x1b[31mred \x07\x08",
    "line ends": "one\u2028two\u2029three\r\nfour",
    "tower": "z" + "\u0301\u0316" * 60 + " end",
    "emoji": "👩\u200d💻 🏳\ufe0f\u200d🌈",
}
LONG = "<b>word</b> " * 87_000  # over a megabyte
WORDLESS = "x" * 5_000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both pages with hostile words wherever words of a study or a model can stand."""
    results = copy.deepcopy(sample_results())
    attack = HOSTILE["end of script"] + HOSTILE["image"] + HOSTILE["direction"] + HOSTILE["template"]
    results["study"] |= {"name": attack, "question": attack, "about": attack, "limits": attack}
    results["study"]["stamp"]["settings"]["system"] = attack
    results["model"]["name"] = attack
    texts = [*HOSTILE.values(), WORDLESS, "\0" * 3000]
    named = {arm: HOSTILE[kind] for arm, kind in zip(ARMS, HOSTILE, strict=False)}
    for record in [*results["answers"], *results["arms"], *results["unscored"]]:
        for field in {"name", "arm"} & set(record):
            record[field] = named[record[field]]
    for place, record in enumerate(results["answers"]):
        text = texts[place % len(texts)]
        record |= {"answer": f"Reason: {text}\nAction: {text}", "prompt": text, "item": text[:200]}
    for name in ("contrasts", "comparisons", "rates", "competence", "training", "canaries"):
        for record in results[name]:
            for field in {"arm", "versus", "note", "covers"} & set(record):
                record[field] = named.get(record[field], record[field] and attack)
            if "sides" in record:
                record["sides"] = {named[arm]: side for arm, side in record["sides"].items()}
    for record in results["checks"]["against_why"]:
        record["arm"] = named[record["arm"]]
    items = [
        one.model_copy(
            update={
                "id": f"{kind} {text[:80]}",
                "principle": text[:200],
                "kind": kind,
                "messages": [one.messages[0].model_copy(update={"content": text})],
                "answers": {"move": text[:300] + " 1", "leave": text[:300] + " 2"},
                "system": text,
            }
        )
        for one, (kind, text) in zip(sample_items(), [*HOSTILE.items(), ("long", LONG)], strict=False)
    ]
    sittings = sample_sittings(
        items, lambda arm, seed, item, lot: f"Reason: {lot.choice(texts)}\nAction: {item.answers['move']}"
    )
    sittings = [replace(sitting, arm=named[sitting.arm]) for sitting in sittings]
    return write_pages(tmp_path_factory.mktemp("hostile"), results, sittings)


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("name", PAGES)
def test_hostile_words_are_shown_and_nothing_runs(browser: Any, hostile: Path, name: str, width: int) -> None:
    with visit(browser, hostile / name, width=width) as seen:
        walk_through(seen)
        assert seen.page.evaluate("window.hacked") is None
        assert seen.said == []
        assert seen.asked == [(hostile / name).as_uri()]
        assert seen.page.locator("img, iframe, object, embed, base, link, [onerror], [onload], [onfocus]").count() == 0
        assert seen.page.locator('a:not([href^="#"]):not([href="report.html"]):not([href="answers.html"])').count() == 0
        assert not seen.wider_than_screen()
        said = "".join(seen.texts("header, form, main :not(script, style)"))
        assert f"<script>{PROBE}</script>" in said
        assert "{{7*7}}" in said
        assert "U+202E" in said
        assert "\0" not in said
        assert "\u202e" not in said


def walk_through(seen: Visit) -> None:
    """Every page of questions with all that can be opened there opened, at every seed."""
    on = seen.page.locator("#on")
    while True:
        for clicked in (".seeds label", "summary", ".more"):
            seen.page.evaluate("all => document.querySelectorAll(all).forEach(one => one.click())", clicked)
        if not on.count() or not on.is_visible() or on.is_disabled():
            return
        on.click()


@pytest.mark.parametrize("kind", HOSTILE)
def test_each_hostile_text_is_shown_as_it_is_written(browser: Any, tmp_path: Path, kind: str) -> None:
    text = HOSTILE[kind]
    lot = random.Random(0)
    sittings = sample_sittings(
        sample_items(["rule-00"], prompt=text),
        lambda *_: f"Reason: {text}\nAction: {lot.choice(list(OPTIONS.values()))}",
    )
    render = render_answers(sample_results(), sittings)
    (tmp_path / "answers.html").write_text(render, encoding="utf-8")
    with visit(browser, tmp_path / "answers.html") as seen:
        for selector in ("blockquote bdi", ".part-reason bdi"):
            shown = seen.page.locator(selector).first.evaluate(TEXT_WITH_UNSEEN)
            assert shown == text.strip()
        assert seen.page.evaluate("window.hacked") is None
        assert seen.said == []


# The text of an element, with what the page names put back as the characters that it names.
TEXT_WITH_UNSEEN = """element => [...element.childNodes].map(node => node.className === "unseen"
  ? node.textContent.split(" ").map(name => String.fromCodePoint(parseInt(name.slice(2), 16))).join("")
  : node.textContent).join("")"""


def test_a_megabyte_is_cut_until_it_is_asked_for(browser: Any, tmp_path: Path) -> None:
    page = render_answers(
        sample_results(), sample_sittings(sample_items(["rule-00"])[:2], lambda *_: f"Reason: {LONG}")
    )
    (tmp_path / "answers.html").write_text(page, encoding="utf-8")
    with visit(browser, tmp_path / "answers.html") as seen:
        reason = seen.page.locator(".part-reason").first
        assert len(reason.inner_text()) < 2_000
        reason.get_by_role("button", name=f"Show all {len(LONG) - 1:,} characters").click()
        assert reason.evaluate("element => element.textContent") == LONG.strip()
        assert not seen.wider_than_screen()
        assert seen.said == []
