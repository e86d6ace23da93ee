"""What a study would cost on other machines, with models of other sizes: reckoned from its tokens, not measured."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import InputError, unknown_name
from ..evals import find_exam
from ..models import ChatFormat
from .job import Job
from .plan import Unit
from .speed import stages_to_teach, written_by
from .stages import Lessons, Stage

BYTES_A_WEIGHT = 2  # bfloat16
BYTES_TRAINED = 16  # of a trained weight: float32 master, its gradient, and AdamW's two moments
ROOM = 1.25  # what activations, keys and values need beside the weights
SECONDS_A_STEP = 0.025  # least time of an update or of one decoded token of a batch: launches, whatever the size
DECODED_TOGETHER = 128  # rows of a batch that is generated
READ_A_SECOND = 1e9  # bytes of weights from storage into a device
TRAINING_USE, READING_USE, DECODING_USE = 0.35, 0.5, 0.6  # shares of a device's peak that are reached


@dataclass(frozen=True)
class Device:
    """One accelerator: dense bfloat16 operations a second at its peak, bytes of memory, and bytes a second from it."""

    name: str
    flops: float
    memory: float
    bandwidth: float


# From the makers' data sheets: dense bfloat16, no sparsity.
DEVICES = {
    device.name: device
    for device in (
        Device("a100-80gb", 312e12, 80e9, 2.0e12),
        Device("h100-80gb", 989e12, 80e9, 3.35e12),
        Device("h200", 989e12, 141e9, 4.8e12),
        Device("l40s", 362e12, 48e9, 0.86e12),
        Device("rtx-4090", 165e12, 24e9, 1.0e12),
    )
}


@dataclass(frozen=True)
class Work:
    """What one unit does, in tokens of the study's own model; another's tokenizer makes more or fewer of the same text.

    training: tokens in all updates. updates: how many. read: tokens of prompts and options. written: tokens generated
    for each answer, at most. answers: how many are generated. beside: tokens read in training without a gradient.
    steps: tokens written in training one after another, by all answers of an update at once.
    """

    training: int
    updates: int
    read: float
    written: float
    answers: float
    beside: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Cost:
    """Of all units of a study with a model of so many parameters, in hours of devices.

    devices: that one unit needs. longest: hours of the slowest unit; no number of machines brings the study below it.
    """

    parameters: float
    units: int
    devices: int
    training: float
    exams: float
    loading: float
    longest: float

    @property
    def hours(self) -> float:
        return self.training + self.exams + self.loading


def works_of(job: Job, units: Sequence[Unit], chat: ChatFormat) -> list[Work]:
    """The work of each unit, as if nothing of it were done. chat: of the study's model."""
    lengths: dict[str, int] = {}

    def length(text: str) -> int:
        return lengths.setdefault(text, len(chat.tokens(text)))

    taught = stages_to_teach(job, units, anew=True)
    return [work_of(job, unit, taught[unit.name], length) for unit in units]


def work_of(job: Job, unit: Unit, taught: Sequence[tuple[Stage, Lessons]], length: Callable[[str], int]) -> Work:
    efforts = [stage.effort(lessons, unit.real_seed) for stage, lessons in taught]
    sampling = job.study.settings.sampling
    read = answers = 0.0
    for exam in job.study.settings.exams:
        times = find_exam(exam).asked_a_case * (sampling.samples if sampling else 1)
        for request in find_exam(exam).requests(job.prepared.cases[exam], job.study.exam_format(unit.arm)):
            prompt = length(job.prepared.prompts[unit.arm.name][request.item])
            read += times * (prompt + sum(map(length, request.options.values())))
            answers += times * request.write
    return Work(
        training=sum(effort.tokens for effort in efforts),
        updates=sum(lessons.updates for _, lessons in taught),
        beside=sum(effort.read for effort in efforts),
        steps=sum(effort.steps for effort in efforts),
        read=read,
        written=written_by(job, unit.arm),
        answers=answers,
    )


def cost_of(works: Sequence[Work], parameters: float, device: Device, *, full: bool = False) -> Cost:
    """Hours of devices for all works. full: all weights are trained, and not an adapter.

    A token costs 2 floating point operations a parameter to read, 4 in the training of an adapter (forward, and
    backward to what came before) and 6 where the weights themselves are trained (Kaplan et al. 2020, section 2.1).
    """
    weights = parameters * BYTES_A_WEIGHT
    devices = math.ceil((weights * ROOM + (parameters * BYTES_TRAINED if full else 0)) / device.memory)
    flops, bandwidth = device.flops * devices, device.bandwidth * devices

    step = max(
        SECONDS_A_STEP,
        weights / (bandwidth * DECODING_USE),
        2 * parameters * DECODED_TOGETHER / (flops * READING_USE),
    )

    def reading(tokens: float) -> float:
        return 2 * parameters * tokens / (flops * READING_USE)

    def training(work: Work) -> float:
        operations = (6 if full else 4) * parameters * work.training
        updating = max(operations / (flops * TRAINING_USE), work.updates * SECONDS_A_STEP)
        return updating + reading(work.beside) + work.steps * step

    def exams(work: Work) -> float:
        return reading(work.read) + math.ceil(work.answers / DECODED_TOGETHER) * work.written * step

    def loading(work: Work) -> float:
        return (2 if work.updates else 1) * weights / READ_A_SECOND

    hours = devices / 3600
    return Cost(
        parameters=parameters,
        units=len(works),
        devices=devices,
        training=hours * sum(map(training, works)),
        exams=hours * sum(map(exams, works)),
        loading=hours * sum(map(loading, works)),
        longest=max((training(work) + exams(work) + loading(work) for work in works), default=0.0) / 3600,
    )


def cost_lines(costs: Sequence[Cost], device: Device, dollars: float | None) -> list[str]:
    """A table of costs. dollars: for an hour of one device; None: no such column."""
    priced = f" {'dollars':>9}" if dollars is not None else ""
    columns = "".join(f" {name:>9}" for name in ("training", "exams", "loading", "all"))
    lines = [
        f"On {device.name}, reckoned and not measured (docs/scale.md says from what):",
        f"{'parameters':>10} {'devices a unit':>14}{columns} {'longest unit':>13}{priced}",
    ]
    for cost in costs:
        shown = "".join(f" {hours:7.2f} h" for hours in (cost.training, cost.exams, cost.loading, cost.hours))
        price = f" {cost.hours * dollars:9,.2f}" if dollars is not None else ""
        lines.append(f"{in_words(cost.parameters):>10} {cost.devices:14}{shown} {60 * cost.longest:9.1f} min{price}")
    return [*lines, "Hours are of one device each. A cluster needs no less than the longest unit takes."]


def read_size(text: str) -> float:
    """A number of parameters such as 135M, 8B or 1.5e9. Errors (InputError): it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)([MB]?)", text.strip(), re.IGNORECASE)
    size = float(found[1]) * {"": 1, "M": 1e6, "B": 1e9}[found[2].upper()] if found else 0.0
    if not size:
        raise InputError(
            f"{text!r} is no number of parameters.", where="--parameters", remedy="Write it like 135M, 8B or 70B."
        )
    return size


def in_words(parameters: float) -> str:
    return f"{parameters / 1e9:g}B" if parameters >= 1e9 else f"{parameters / 1e6:g}M"


def find_device(name: str) -> Device:
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES, where="--on")
    return DEVICES[name]
