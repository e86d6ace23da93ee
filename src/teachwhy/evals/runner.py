"""The local runner: an exam's requests to one model, in batches, into answers; by transformers or through vLLM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..models import (
    Choice,
    Ended,
    LanguageModel,
    Sampling,
    VllmModel,
    generate,
    generate_through,
    score_after,
    score_choices,
    score_through,
)
from ..text import fingerprint
from .exam import Answer, ExamFormat, Request


def answer_requests(
    model: LanguageModel | VllmModel,
    requests: Sequence[Request],
    prompts: Mapping[str, str],
    format: ExamFormat,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    sample: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Answer]:
    """Generate, then score the options after the model's own words up to the action. Answers in request order.

    prompts: item id -> rendered conversation, up to where the model's answer begins. temperature: 0 for the likeliest
    words; else words are drawn, the same for the same request and `sample`, the number of this asking.
    """
    total = 2 * len(requests)
    asked = [index for index, request in enumerate(requests) if request.write]
    options = [written_options(request, format) for request in requests]
    scores: dict[int, list[float]] = {}

    def score_ended(ended: Ended) -> None:
        """Score rows whose words before the action are tokens that they wrote: nothing has to be read again."""
        assert isinstance(model, LanguageModel)
        keep = {
            place: kept
            for place, (row, new) in enumerate(zip(ended.rows, ended.new, strict=True))
            if options[asked[row]] and (kept := kept_tokens(model, requests[asked[row]], new, format)) is not None
        }
        rows = [asked[ended.rows[place]] for place in keep]
        found = score_after(model, ended, list(keep), list(keep.values()), [options[row] for row in rows])
        scores.update(zip(rows, found, strict=True))

    openings = [prompts[requests[index].item] + requests[index].opening for index in asked]
    sampling = Sampling(temperature, [seed_of(requests[index], sample) for index in asked]) if temperature else None
    told: dict[str, Any] = {"sampling": sampling, "progress": lambda done: progress(done + len(scores), total)}
    if isinstance(model, VllmModel):
        texts = generate_through(model, openings, max_new_tokens=max_new_tokens, **told)
    else:
        texts = generate(model, openings, max_new_tokens=max_new_tokens, on_ended=score_ended, **told)
    written = dict(zip(asked, texts, strict=True))
    said = [request.opening + written.get(index, "") for index, request in enumerate(requests)]
    others = [index for index in range(len(requests)) if options[index] and index not in scores]
    choices = [
        Choice(prompts[requests[index].item] + before_action(said[index], format), options[index]) for index in others
    ]
    done = total - len(others)

    def more(scored: int) -> None:
        progress(done + scored, total)

    if isinstance(model, VllmModel):
        found = score_through(model, choices, progress=more)
    else:
        found = score_choices(model, choices, progress=more)
    scores.update(zip(others, found, strict=True))
    choice = [dict(zip(request.options, scores.get(index, ()), strict=True)) for index, request in enumerate(requests)]
    return [
        Answer(request.item, request.format, said[index], choice[index], sample)
        for index, request in enumerate(requests)
    ]


def seed_of(request: Request, sample: int) -> int:
    """Of what is drawn for a request: it hangs on nothing else that is asked."""
    return int(fingerprint(["sample", request.item, request.format, sample])[:16], 16)


def written_options(request: Request, format: ExamFormat) -> tuple[str, ...]:
    """The options as they are written behind the marker of the action."""
    return tuple(f" {action}" if format.action_marker else action for action in request.options.values())


def kept_tokens(model: LanguageModel, request: Request, new: Sequence[int], format: ExamFormat) -> int | None:
    """How many of an answer's own tokens stand before its action; None where its action does not begin between two."""
    wanted = before_action(request.opening + model.chat.text(new), format)
    lengths = (kept for kept in range(len(new) + 1) if request.opening + model.chat.text(new[:kept]) == wanted)
    return next(lengths, None)


def before_action(text: str, format: ExamFormat) -> str:
    """The model's own words up to and including the marker of its action.

    Where it wrote no marker, all its words count as reasoning and the marker is put after them; a text that begins
    with the action has only the marker before it.
    """
    if not format.action_marker:
        return ""
    head, marker, _ = text.partition(format.action_marker)
    if marker:
        return head + marker
    return f"{text.rstrip()}\n{format.action_marker}" if text.strip() else format.action_marker
