"""Studies: the study file, the plan, the run folder, and running one from end to end."""

from .ask import ask_run
from .audit import audit_item
from .exports import compare_runs, export_run, report_format, write_figures
from .freeze import register_study
from .job import Job
from .plan import Unit, plan_units
from .prepare import prepare
from .prompt_run import Spending, estimate_prompts, run_prompts
from .prompt_study import PromptChoices, write_prompt_study
from .run import Run, prepare_job, report_study, run_study
from .starter import write_starter
from .study_file import Study, read_study, study_path
from .study_settings import StudySettings
from .views import check_anything, plan_cost, plan_study, show_row, study_status

__all__ = [
    "Job",
    "PromptChoices",
    "Run",
    "Spending",
    "Study",
    "StudySettings",
    "Unit",
    "ask_run",
    "audit_item",
    "check_anything",
    "compare_runs",
    "estimate_prompts",
    "export_run",
    "plan_cost",
    "plan_study",
    "plan_units",
    "prepare",
    "prepare_job",
    "read_study",
    "register_study",
    "report_format",
    "report_study",
    "run_prompts",
    "run_study",
    "show_row",
    "study_path",
    "study_status",
    "write_figures",
    "write_prompt_study",
    "write_starter",
]
