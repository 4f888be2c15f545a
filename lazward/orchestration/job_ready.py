"""From a job that may run to one that can be launched: its environment, its code and inputs, with a log of what is done and with the reason
when it takes long."""

from __future__ import annotations

from pathlib import Path

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchSpec
from lazward.execution.overlay import Environment
from lazward.orchestration import environments
from lazward.orchestration.data import ARTIFACTS, account_of, run_folder
from lazward.orchestration.durable import Work
from lazward.orchestration.job_prepare import prepare
from lazward.orchestration.job_queue import waiting_for
from lazward.orchestration.logs import FAST, LineLog, LogPump, from_file
from lazward.orchestration.runtime import Runtime
from lazward.storage.resources import Row

BUILD_LOG = "azureml-logs/20_image_build_log.txt"
LOCK = "system_logs/environment_lock.txt"  # what is in the environment it ran in


async def get_ready(work: Work, runtime: Runtime, job: Row, workspace: Row, folder: Path, name: str) -> LaunchSpec:
    """Our own progress goes to system_logs, a build that takes time to azureml-logs. name: of the launch."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = folder.with_name(folder.name + ".logs")
    build_log = LineLog(logs / "20_image_build_log.txt")
    say = LineLog(logs / "lazward.log", lambda: timestamp(work.now()))
    account, prefix = account_of(workspace), run_folder(job.name)
    await runtime.blobs.ensure_container(account, ARTIFACTS)
    sources = {f"{prefix}/{BUILD_LOG}": from_file(build_log.path), f"{prefix}/system_logs/lazward.log": from_file(say.path)}
    pump = LogPump(runtime.blobs, account, ARTIFACTS, sources, runtime.log_gate)
    async with pump.running(FAST):  # a warm preparation is over by then, and one append says it all
        try:
            work.at("environment")
            asked = job.properties["environmentId"]
            say(f"preparing the environment {asked}")
            wanted = await environments.definition_of(runtime, workspace.key, asked, "properties.environmentId")
            async with waiting_for(runtime.db, work.now, work.subject, f"Waiting for its environment {_short(asked)} to be built; {BUILD_LOG} shows how far it is."):
                environment = await environments.build(runtime, wanted, build_log)
            if environment.loosened:
                await runtime.db.write(environments.tell_loosened, job.key, environment, work.now())
            await runtime.blobs.put(account, ARTIFACTS, f"{prefix}/{LOCK}", lock_of(environment).encode(), headers={"contentType": "text/plain"})
            say(f"environment {environment.key} (Python {environment.python_version}); fetching code and inputs")
            work.at("inputs")
            variables = dict(wanted.packages.env) | {"LAZWARD_JOB_ATTEMPT": str(work.state["attempt"])}
            async with waiting_for(runtime.db, work.now, work.subject, "Waiting for its code and inputs to be fetched."):
                spec = await prepare(runtime, job, workspace, environment, variables, folder, name, say)
            say(f"starting {len(spec.processes)} process(es)")
            return spec
        except ArmError as error:
            say(f"failed: {error.message}")
            raise


def lock_of(environment: Environment) -> str:
    return f"# Python {environment.python_version}, environment {environment.key}\n{environment.lock}"


def _short(environment: str) -> str:
    """NAME:VERSION of an id, as people write it."""
    parts = environment.rstrip("/").split("/")
    return f"{parts[-3]}:{parts[-1]}" if len(parts) > 3 and parts[-2].lower() == "versions" else environment[:200]
