"""The runner of parallel jobs logs its progress to the real tracking server, with the variables that a job gets."""

from __future__ import annotations

import time

from lazward.storage import run_search, runs
from tests.conformance.tracking_server import TOKEN, serve
from tests.execution.runtime.parallel.running import Run, write_files
from tests.storage.tracking_data import KEY


def test_progress_is_metrics_of_the_run(tmp_path):
    (tmp_path / "server").mkdir()
    with serve(tmp_path / "server") as server:
        server.db.write_now(runs.create_job_run, KEY, "step_1", "train", "A step", "owner", {}, time.time())
        server.db.write_now(runs.set_status, KEY, "step_1", "Running", time.time())
        server.put_job("step_1")
        names = write_files(tmp_path / "job", 6)
        run = Run(
            tmp_path / "job", f"import os\ndef run(b):\n    if b[0].endswith({names[0]!r}): raise ValueError\n    return b\n", ("--metrics_name_prefix", "scoring "),
            env=server.azure_environment(MLFLOW_TRACKING_TOKEN=TOKEN, MLFLOW_RUN_ID="step_1"), mini_batch_size=2, max_retries=0,
        )
        assert run.code == 0 and "could not be logged" not in run.out, run.out
        full = server.db.read_now(run_search.one, KEY, "step_1")
    assert {key: value for key, value, *_ in full.metrics} == {
        "scoring Total MiniBatches": 3, "scoring Processed MiniBatches": 3, "scoring Failed MiniBatches": 1, "scoring Remaining MiniBatches": 0,
        "scoring Processed Items": 6, "scoring Failed Items": 2,
    }
