"""The local runner: an exam's requests to one model, in batches, into answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..models import Choice, LanguageModel, generate, score_choices
from .exam import Answer, ExamFormat, Request


def answer_requests(
    model: LanguageModel,
    requests: Sequence[Request],
    prompts: Mapping[str, str],
    format: ExamFormat,
    *,
    max_new_tokens: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Answer]:
    """Generate, then score the options after the model's own words up to the action. Answers in request order.

    prompts: item id -> rendered conversation, up to where the model's answer begins.
    """
    total = 2 * len(requests)
    texts = generate(
        model,
        [prompts[request.item] + request.opening for request in requests],
        max_new_tokens=max_new_tokens,
        progress=lambda done: progress(done, total),
    )
    said = [request.opening + text for request, text in zip(requests, texts, strict=True)]
    choices = [
        Choice(
            prompts[request.item] + before_action(text, format),
            tuple(f" {action}" if format.action_marker else action for action in request.options.values()),
        )
        for request, text in zip(requests, said, strict=True)
    ]
    scores = score_choices(model, choices, progress=lambda done: progress(len(requests) + done, total))
    return [
        Answer(request.item, request.format, text, dict(zip(request.options, values, strict=True)))
        for request, text, values in zip(requests, said, scores, strict=True)
    ]


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
