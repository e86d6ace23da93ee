"""One unit of work: train the adapter of one (arm, seed), then sit its exams. Runs inside a worker."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..evals import Answer, ExamFormat, Item, Request, answer_requests, as_record, find_exam
from ..models import (
    ApiModel,
    Canary,
    LanguageModel,
    ModelSource,
    Reply,
    VllmModel,
    load_for_training,
    load_model,
    load_trained,
    load_weights,
    save_trained,
    start_vllm,
    stop_vllm,
    with_adapter,
)
from ..models.load import model_context
from ..text import fingerprint
from ..train.reporters import Reporting
from .behind_api import askable
from .folder import as_os_error, content_hashes, flush, folder_error, locked, read_json, whole, write_json, write_jsonl
from .job import Job, Step
from .journal import Asked, Journal, journal_path, put_to_api, told
from .noise import Again, judge_again, read_answers, sample_again
from .plan import Unit, checkpoint_stamp, stamp_fits, versions
from .prepare import conversation, item_prompts
from .stages import Stage, Teaching

Tell = Callable[[str, int, int, str], None]
TOO_LONG = "the conversation no longer fits the model's context"
WEIGHTS = {".safetensors", ".json"}  # what a record vouches for
PLAIN = ExamFormat(reasons=False, place="first", reason_marker="", action_marker="")  # how a judge writes


@dataclass(frozen=True)
class Sitting:
    """A unit that sits its exams. model: loaded. canary: what proves that its adapter is applied.

    replies: of a model behind an API, to what it was asked in the exam that it sits.
    """

    unit: Unit
    model: LanguageModel | VllmModel | ApiModel
    canary: Mapping[str, float]
    tell: Tell
    replies: list[Reply] = field(default_factory=list)


class Worker:
    """Runs steps one after another; keeps the network it trains, so that it is loaded and compiled once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model: LanguageModel | None = None
        self.network: Any = None
        self.trunk: Any = None
        self.loss: Any = None
        self.judge: LanguageModel | VllmModel | None = None
        self.engine: VllmModel | None = None

    def run(self, step: Step, tell: Tell) -> None:
        if step.part == "training":
            self.train(step.unit, tell)
        elif not self.job.done(step.unit):
            self.examine(step.unit, tell)
        give_back_memory()

    def prepare_network(self) -> tuple[LanguageModel, Any]:
        """The base model with an adapter attached; it and the loss compiled where asked."""
        from ..train.supervised import weighted_loss
        from ..train.trunk import Trunk

        if self.model is None:
            settings = self.job.study.settings
            environment = self.job.environment
            train = settings.train
            self.model, self.network = load_for_training(
                self.job.source, train.trainable, device=environment["device"], dtype=environment["dtype"]
            )
            self.trunk = Trunk(self.network, train.layers, self.job.trunk_folder) if train.layers else None
            self.loss = weighted_loss
            if environment["compile"]:
                from ..train.compiled import compile_training

                self.loss = compile_training(self.network, self.loss)
        return self.model, self.network

    def step_zero(self, seed: int) -> Path:
        """The folder of what every arm of this seed starts from: an adapter, made the first time, or the base model."""
        train = self.job.study.settings.train
        if train.adapter == "none":
            return Path(self.job.source.folder)
        folder = self.job.run / "train" / "step0" / f"seed-{seed}"
        shape = [train.rank, train.alpha, train.targets, train.layers]
        stamp = fingerprint(["step0", self.job.source.fingerprint, shape, seed])
        with locked(folder.parent, say=lambda text: None):  # two workers may want it at once
            if not (stamp_fits(folder / "step0.json", stamp) and whole(folder / "step0.json")):
                fresh = load_model(self.job.source, device="cpu", dtype=self.job.environment["dtype"])
                network = train.trainable.attach(fresh, seed)
                save_folder(folder, network.save_pretrained, "step0.json", {"stamp": stamp, "seed": seed})
        return folder

    def train(self, unit: Unit, tell: Tell) -> None:
        """Teach a unit stage by stage; what a killed run finished of it is not taught again."""
        tell("loading", 0, 1, "")
        job = self.job
        self.judge = None  # training needs the memory more; the next exam loads it again
        before = self.step_zero(unit.real_seed)
        if self.engine:
            stop_vllm(self.engine)  # one of the two has the memory of the device
            self.engine = None
        model, network = self.prepare_network()
        stages, stamps = job.study.stages(unit.arm), job.stage_stamps(unit)
        for stage in stages:
            stage.check_network(network)
        for stage, stamp in zip(stages, stamps, strict=True):
            end = job.end_of(unit, stage.name)
            if not job.stage_done(unit, stage.name):
                shared = stage.checkpoints <= 1
                with self.one_teacher(stage, stamp, tell) if shared else contextlib.nullcontext():
                    taught = job.taught_elsewhere(unit, stamp) if shared else None
                    if taught:
                        take_over(job, taught, end)
                    else:
                        load_weights(network, before)
                        self.teach(unit, stage, stamp, end, model, network, tell)
            before = end.train_folder(job.run)

    def one_teacher(self, stage: Stage, stamp: str, tell: Tell) -> contextlib.AbstractContextManager[Any]:
        """Two workers may come to a stage that their arms share: the second waits, and takes over what comes out."""
        return locked(self.job.run / ".locks" / stamp, say=lambda text: tell(f"waiting for {stage.name}", 0, 1, ""))

    def teach(
        self, unit: Unit, stage: Stage, stamp: str, end: Unit, model: LanguageModel, network: Any, tell: Tell
    ) -> None:
        """One stage of a unit, with the checkpoints on its way. end: the unit whose folder keeps what comes out."""
        job = self.job
        lessons = job.prepared.lessons[unit.arm.name][job.study.stages(unit.arm).index(stage)]
        about = {
            "arm": unit.arm.model_dump(),
            "seed": unit.seed,
            "real_seed": unit.real_seed,
            "stage": {"name": stage.name, **stage.record()},
            "settings": lessons.settings.model_dump(),
            "rows": lessons.hash,
            "batches": fingerprint(lessons.batches(unit.real_seed)),
            "template_hash": model.chat.template_hash,
            "model": asdict(job.source) | {"folder": ""},
            "environment": dict(job.environment),
            "versions": versions(),
        }
        save = partial(save_trained, model, network)

        def save_midway(point: Unit, losses: Sequence[float]) -> None:
            midway = checkpoint_stamp(stamp, point.arm.point[1])
            record = {"stamp": midway, **about, "updates": len(losses), "losses": list(losses)}
            save_folder(point.train_folder(job.run), save, "train.json", record)

        points = [point for point in job.checkpoints(unit) if point.arm.point[0] == stage.name and point != end]
        keep = {stage.update_at(point.arm.point[1], lessons.updates): partial(save_midway, point) for point in points}
        phase = "training" if len(job.study.stages(unit.arm)) == 1 else f"training {stage.name}"
        taught = stage.teach(
            Teaching(
                network=network,
                model=model,
                lessons=lessons,
                seed=unit.real_seed,
                scratch=job.run / "train" / ".scratch",
                trunk=self.trunk,
                loss=self.loss,
                reporting=self.reporting(unit, stage),
                progress=lambda update, updates, value: tell(phase, update, updates, f"{stage.watched} {value:.2f}"),
                keep=keep,
            )
        )
        record = {"stamp": stamp, **about, **asdict(taught)}
        save_folder(end.train_folder(job.run), save, "train.json", record)

    def reporting(self, unit: Unit, stage: Stage) -> Reporting | None:
        """Where this training reports to, in the run folder but apart from the adapter, which is moved as a whole."""
        settings = self.job.study.settings
        named = list(dict.fromkeys(settings.train.report_to))
        folder = self.job.run / "logs" / "training" / unit.name
        folder = folder / stage.name if settings.stages else folder
        return Reporting(named, folder, settings.name, unit.name) if named else None

    def examine(self, unit: Unit, tell: Tell) -> None:
        tell("loading", 0, 1, "")
        job = self.job
        canary: dict[str, float] = {}
        model: LanguageModel | VllmModel | ApiModel
        if job.source.behind_api:
            model = self.model_behind_api()
        elif unit.trained:
            model, found = self.trained_model(unit)
            canary = asdict(found)
        else:
            model = self.load_engine() if job.study.settings.engine else self.load(job.source)
            self.judge = model if job.judge == job.source else self.judge
        sitting = Sitting(unit, model, canary, tell)
        for exam in job.study.settings.exams:
            record = unit.evals_folder(job.run) / f"{exam}.json"
            if not stamp_fits(record, job.evals_stamp(unit, exam)) or read_json(record).get("asked", {}).get("missing"):
                self.sit(sitting, exam)
        for name, stamp in job.again_stamps(unit).items():
            if not stamp_fits(unit.evals_folder(job.run) / f"{name}.json", stamp):
                self.repeat(sitting, name, stamp)

    def trained_model(self, unit: Unit) -> tuple[LanguageModel | VllmModel, Canary]:
        """The model as this unit was trained, and the canary that proves it."""
        job, environment = self.job, self.job.environment
        folder, dtype = unit.train_folder(job.run), environment["dtype"]
        acted = job.study.examples[0].action if job.study.examples else ""  # an arm may be taught by stages alone
        probe = next(iter(job.prepared.prompts[unit.arm.name].values())) + acted
        if job.study.settings.engine:
            return with_adapter(self.load_engine(), folder, dtype=dtype, probe=probe)
        return load_trained(job.source, folder, device=environment["device"], dtype=dtype, probe=probe)

    def load(self, source: ModelSource) -> LanguageModel:
        environment = self.job.environment
        return load_model(source, device=environment["device"], dtype=environment["dtype"])

    def load_engine(self) -> VllmModel:
        """The base model in vLLM, kept for the next unit. What training holds is given back first."""
        settings = self.job.study.settings
        assert settings.engine is not None
        if self.engine is None:
            self.forget_training()
            dtype, rank = self.job.environment["dtype"], settings.train.rank
            self.engine = start_vllm(self.job.source, dtype=dtype, rank=rank, options=settings.engine.options)
        return self.engine

    def forget_training(self) -> None:
        """Give back what training holds: vLLM, in a process of its own, wants the device for itself."""
        import torch

        self.model = self.network = self.trunk = self.loss = None
        give_back_memory()
        torch.cuda.empty_cache()  # nothing, where there is no CUDA

    def sit(self, sitting: Sitting, exam: str) -> None:
        """Answers of one exam, with those of every round that follows from them, as often as the study asks."""
        job, started = self.job, time.perf_counter()
        format, sampling = job.study.exam_format(sitting.unit.arm), job.study.settings.sampling
        sitting.replies.clear()
        answers = [
            answer
            for sample in range(sampling.samples if sampling else 1)
            for answer in find_exam(exam).sit(
                job.prepared.cases[exam], format, partial(self.ask, sitting, exam, sample=sample)
            )
        ]
        self.store(sitting, exam, exam, job.evals_stamp(sitting.unit, exam), answers, started)

    def repeat(self, sitting: Sitting, name: str, stamp: str) -> None:
        """What is asked or judged again for its noise, stored apart from the answers that count."""
        job, started = self.job, time.perf_counter()
        again = job.again(sitting.unit)
        assert again is not None
        exam = again.measure.exam

        def ask(cases: Sequence[Item], *, sample: int) -> list[Answer]:
            return self.ask(sitting, exam, cases, again, sample)

        if name == again.samples:
            answers = sample_again(again, again.format(job.study), ask)
        else:
            counted = read_answers(sitting.unit.evals_folder(job.run) / f"{exam}.jsonl")
            own = {case.id: case for case in job.prepared.cases[exam]}
            asked = find_exam(exam).asked(own, counted, job.study.exam_format(sitting.unit.arm))
            answers = judge_again(again, asked, ask)
        self.store(sitting, exam, name, stamp, answers, started)

    def store(
        self, sitting: Sitting, exam: str, name: str, stamp: str, answers: Sequence[Answer], started: float
    ) -> None:
        """Answers stored once under a name in the unit's folder; the stamp comes last."""
        job, folder = self.job, sitting.unit.evals_folder(self.job.run)
        write_jsonl(folder / f"{name}.jsonl", [as_record(answer) for answer in answers])
        record = {
            "stamp": stamp,
            "files": content_hashes([folder / f"{name}.jsonl"]),
            "exam": exam,
            "version": find_exam(exam).version,
            "canary": sitting.canary,
            "judge": asdict(job.judge) | {"folder": ""} if find_exam(exam).follow_up else None,
            "template_hash": sitting.model.chat.template_hash,
            "environment": dict(job.environment),
            "versions": versions(),
            "seconds": time.perf_counter() - started,
        }
        if isinstance(sitting.model, ApiModel):
            record["asked"] = told(sitting.replies)
        write_json(folder / f"{name}.json", record)

    def ask(
        self, sitting: Sitting, exam: str, cases: Sequence[Item], again: Again | None = None, sample: int = 0
    ) -> list[Answer]:
        """Put the requests of these cases to the model under test, and to the judge those that are for it.

        again: words of the model are drawn, in the format that is looked at alone; the judge says the likeliest.
        sample: the number of this asking.
        """
        study, model, arm = self.job.study, sitting.model, sitting.unit.arm
        format = again.format(study) if again else study.exam_format(arm)
        requests = find_exam(exam).requests(cases, format)
        judged = {request.item for request in requests if request.by == "judge"}
        of_subject = [
            request
            for request in requests
            if request.item not in judged and (again is None or request.format == again.measure.format)
        ]
        of_judge = [request for request in requests if request.item in judged]
        answer = partial(
            answer_requests,
            max_new_tokens=study.settings.max_new_tokens,
            sample=sample,
            progress=lambda done, total: sitting.tell(exam, done, total, f"sample {sample}" if sample else ""),
        )
        answers: list[Answer] = []
        if of_subject:
            known = self.job.prepared.prompts[arm.name]
            new = [case for case in cases if case.id not in judged and case.id not in known]
            prompts = {**known, **item_prompts(study, model.chat, arm, new)}
            sampling = again.settings if again else study.settings.sampling
            temperature = sampling.temperature if sampling else 0.0
            if isinstance(model, ApiModel):
                who = f"{arm.name} again" if again else arm.name  # what is asked again is never an answer that counts
                asked = Asked(who, study.settings.max_new_tokens, temperature, sample)
                answers += self.ask_api(sitting, exam, asked, list(filter(askable, of_subject)), prompts)
            else:
                too_long = self.too_long(model, {case.id: prompts[case.id] for case in new})
                fitting = [request for request in of_subject if request.item not in too_long]
                answers += answer(model, fitting, prompts, format, temperature=temperature)
                answers += stopped(of_subject, too_long, sample)
        if of_judge:
            judge = self.load_judge()
            prompts = {case.id: judge.chat.prompt(conversation(case, None)) for case in cases if case.id in judged}
            too_long = self.too_long(judge, prompts)
            fit = [request for request in of_judge if request.item not in too_long]
            answers += answer(judge, fit, prompts, PLAIN)
            answers += stopped(of_judge, too_long, sample)
        return answers

    def too_long(self, model: LanguageModel | VllmModel, prompts: Mapping[str, str]) -> set[str]:
        """The cases whose prompt leaves no room for an answer; of those known beforehand there are none."""
        longest = model_context(model.source) - self.job.study.settings.max_new_tokens
        return {case for case, prompt in prompts.items() if len(model.chat.tokens(prompt)) > longest}

    def ask_api(
        self, sitting: Sitting, exam: str, asked: Asked, requests: Sequence[Request], prompts: Mapping[str, str]
    ) -> list[Answer]:
        """What the journal of the study does not have is asked; what never came is told with its cause."""
        assert isinstance(sitting.model, ApiModel)

        def progress(done: int, total: int) -> None:
            sitting.tell(exam, done, total, f"sample {asked.sample}" if asked.sample else "")

        written = [prompts[request.item] for request in requests]
        said = put_to_api(sitting.model, self.journal, asked, requests, written, progress)
        sitting.replies.extend(one.reply for one in said)
        return [one.answer for one in said]

    def model_behind_api(self) -> ApiModel:
        """With what is left in the purse: all that the study's journal holds is spent."""
        purse = self.job.purse
        purse.spent = self.journal.cost(purse.price)
        return ApiModel(self.job.source.name, self.job.asking, purse)

    @cached_property
    def journal(self) -> Journal:
        return Journal.read(journal_path(self.job.run.parent, self.job.source.fingerprint))

    def load_judge(self) -> LanguageModel | VllmModel:
        """The judge, kept for the next unit. It sits in vLLM where it is the model under study, untrained."""
        if self.judge is None:
            job = self.job
            through_vllm = job.study.settings.engine and job.judge == job.source
            self.judge = self.load_engine() if through_vllm else self.load(job.judge)
        return self.judge


def stopped(requests: Sequence[Request], too_long: set[str], sample: int) -> list[Answer]:
    """Answers in the place of those that the model has no room for."""
    return [
        Answer(request.item, request.format, "", sample=sample, cause=TOO_LONG)
        for request in requests
        if request.item in too_long
    ]


def give_back_memory() -> None:
    """Give memory that is free back to the system: glibc keeps it, and a worker's next phase needs other sizes."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def take_over(job: Job, taught: Path, end: Unit) -> None:
    """What another arm, or another run, was taught from the same start with the same lessons is this unit's too.

    taught: its folder. end: the unit whose folder keeps it here.
    """

    def copied(target: str) -> None:
        for file in taught.iterdir():
            if file.name != "train.json":
                shutil.copy(file, target)

    record = read_json(taught / "train.json")
    name = end.arm.point[0] if end.arm.until else job.study.stages(end.arm)[-1].name
    record |= {
        "arm": job.taught_as(end).arm.model_dump(),
        "seed": end.seed,
        "stage": record.get("stage", {}) | {"name": name},
    }
    save_folder(end.train_folder(job.run), copied, "train.json", record)


def save_folder(folder: Path, save: Callable[[str], Any], record_name: str, record: dict[str, Any]) -> None:
    """Write a whole folder of weights under a temporary name and rename it; an old one is replaced."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save(str(temporary))
        flush(temporary.iterdir())
        written = [file for file in temporary.iterdir() if file.suffix in WEIGHTS]
        write_json(temporary / record_name, record | {"files": content_hashes(written)})
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except Exception as error:
        raise folder_error(as_os_error(error), folder) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
