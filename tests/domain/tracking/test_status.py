from __future__ import annotations

import pytest
from mlflow.entities import LoggedModelStatus, RunStatus

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking import status

JOB_STATUSES = (
    ["NotStarted", "Queued", "Preparing", "Provisioning", "Starting", "Running", "Finalizing", "CancelRequested", "Completed", "Failed", "Canceled", "NotResponding", "Paused"]
)


def test_numbers_and_names_are_mlflows():
    for number, name in RunStatus._STATUS_TO_STRING.items():
        assert status.parse_status(name) == status.parse_status(number) == name
    for member in LoggedModelStatus:
        if member != LoggedModelStatus.UNSPECIFIED:
            name = status.parse_model_status(member.to_int())
            assert status.parse_model_status(name) == name
            assert LoggedModelStatus.from_int(member.to_int()) == member


@pytest.mark.parametrize("value", ["running", "", 0, 6, True, None, 1.0, ["RUNNING"], {}])
def test_other_words_are_refused(value):
    with pytest.raises(MlflowError):
        status.parse_status(value)
    with pytest.raises(MlflowError):
        status.parse_model_status(value if value is not True else 9)


@pytest.mark.parametrize("job", JOB_STATUSES)
def test_every_job_status_has_one_of_mlflows(job):
    told = status.from_job(job)
    assert told in status.RUN_STATUSES
    assert (told in status.TERMINAL) == (job in ("Completed", "Failed", "Canceled", "NotResponding"))
    assert status.to_history(told) in JOB_STATUSES


def test_what_is_no_status_is_a_fault_of_ours():
    with pytest.raises(KeyError):
        status.from_job("Done")
