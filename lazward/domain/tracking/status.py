"""States of runs: MLflow's five, Azure's thirteen, and how one is told as the other."""

from __future__ import annotations

from lazward.contract.mlflow import invalid

RUNNING, SCHEDULED, FINISHED, FAILED, KILLED = "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"
RUN_STATUSES = (RUNNING, SCHEDULED, FINISHED, FAILED, KILLED)  # MLflow numbers them from 1
TERMINAL = frozenset({FINISHED, FAILED, KILLED})

JOB_OVER = frozenset({"Completed", "Failed", "Canceled"})  # how jobs end here

_OF_JOB = {
    "NotStarted": SCHEDULED, "Queued": SCHEDULED, "Preparing": SCHEDULED, "Provisioning": SCHEDULED, "Starting": SCHEDULED, "Scheduled": SCHEDULED,
    "Paused": SCHEDULED, "Running": RUNNING, "Finalizing": RUNNING, "CancelRequested": RUNNING, "Completed": FINISHED, "Failed": FAILED,
    "NotResponding": FAILED, "Canceled": KILLED,
}
_TO_HISTORY = {RUNNING: "Running", SCHEDULED: "NotStarted", FINISHED: "Completed", FAILED: "Failed", KILLED: "Canceled"}

MODEL_STATUSES = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}


def from_job(job_status: str) -> str:
    """MLflow's status of a job's run; KeyError for what is no job status."""
    return _OF_JOB[job_status]


def to_history(run_status: str) -> str:
    """The word run history uses for a run that no job stands behind."""
    return _TO_HISTORY[run_status]


def parse_status(value: object) -> str:
    """A run status as a client writes it: the name, or MLflow's number."""
    if isinstance(value, str) and value in RUN_STATUSES:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(RUN_STATUSES):
        return RUN_STATUSES[value - 1]
    raise invalid(f"Invalid value {str(value)[:60]!r} for parameter 'status' supplied: it is one of {', '.join(RUN_STATUSES)}.", "status")


def parse_model_status(value: object) -> str:
    """A logged model's status: the name, or MLflow's number."""
    names = tuple(MODEL_STATUSES.values())
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, int) and value in MODEL_STATUSES:
        return MODEL_STATUSES[value]
    raise invalid(f"Invalid value {str(value)[:60]!r} for parameter 'status' supplied: it is one of {', '.join(names)}.", "status")
