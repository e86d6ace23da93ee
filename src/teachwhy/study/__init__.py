"""Studies: the study file, the plan, the run folder, and running one from end to end."""

from .plan import Unit, plan_units
from .run import Run, prepare_job, run_study
from .study_file import Study, StudySettings, read_study, study_path

__all__ = ["Run", "Study", "StudySettings", "Unit", "plan_units", "prepare_job", "read_study", "run_study", "study_path"]
