"""Keeping: job folders of runs, and baselines that were accepted on purpose; nothing is run or judged here."""

from harness.store.folders import (
    EXPLANATION_FOLDER,
    JOB_FILE,
    REPORT_FOLDER,
    Fingerprint,
    Job,
    fingerprint,
    load,
    load_comparison,
    load_run,
    locked,
    new_job_folder,
    resumable_job_folder,
    run_folders,
    save,
    scenario_files,
    scores_file,
)

__all__ = [
    "EXPLANATION_FOLDER",
    "JOB_FILE",
    "REPORT_FOLDER",
    "Fingerprint",
    "Job",
    "fingerprint",
    "load",
    "load_comparison",
    "load_run",
    "locked",
    "new_job_folder",
    "resumable_job_folder",
    "run_folders",
    "save",
    "scenario_files",
    "scores_file",
]
