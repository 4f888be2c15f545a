"""Imports go downwards only, third-party packages are used where ADR-0006 says, and every module has its test."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = ROOT / "lazward"
ANYWHERE = "anywhere"


def allowed() -> dict[str, list[str]]:
    """The table of ADR-0006: a package, and the folders and files of lazward/ that may import it."""
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", (ROOT / "docs" / "decisions" / "0006-libraries.md").read_text())
    return {name: re.findall(r"`(.+?)`", places) or [places] for name, places in rows}


def imports_of(path: Path) -> set[str]:
    """Top names of the packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def third_party() -> dict[str, set[str]]:
    """The files that import each."""
    used: dict[str, set[str]] = defaultdict(set)
    for path in CODE.rglob("*.py"):
        for name in imports_of(path) - sys.stdlib_module_names - {"lazward", "lazward_mlflow"}:
            used[name].add(path.relative_to(CODE).as_posix())
    return used


class TestImports:
    def test_they_go_downwards_only(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        from importlinter import cli

        monkeypatch.chdir(ROOT)
        code = cli.lint_imports(no_cache=True, no_logo=True)
        assert code == 0, capsys.readouterr().out

    def test_packages_are_used_where_they_may_be(self):
        table, used = allowed(), third_party()
        assert table
        wrong = {
            name: outside for name, paths in used.items() if (outside := sorted(path for path in paths if not any(_within(path, at) for at in table.get(name, ()))))
        }
        assert not wrong, "say in ADR-0006 why it is needed there"

    def test_what_may_be_used_is_used(self):
        used = third_party()
        assert not [(name, at) for name, places in allowed().items() for at in places if not any(_within(path, at) for path in used[name])]


def _within(path: str, at: str) -> bool:
    return at == ANYWHERE or path == at or path.startswith(at + "/")


# Modules whose behaviour is tested at another place than tests/SAME/PATH/test_NAME.py: there is one test for several, or it takes a
# whole server. A module without logic (declarations alone) is tested by what reads it.
ELSEWHERE = {
    "apps/arm/actions_assets.py": "tests/orchestration/test_schedule_events.py",
    "apps/arm/actions_workspaces.py": "tests/apps/arm/test_registry.py",
    "apps/arm/authorization_scope.py": "tests/apps/arm/test_authorization.py",
    "apps/arm/conditions.py": "tests/apps/arm/test_registry.py",
    "apps/arm/coverage.py": "tests/test_docs.py",
    "apps/arm/documents.py": "tests/apps/arm/test_registry.py",
    "apps/arm/hooks.py": "tests/apps/arm/test_engine.py",
    "apps/arm/locations.py": "tests/security/test_s04_routes.py",
    "apps/arm/operations.py": "tests/durability/load.py",
    "apps/arm/platform.py": "tests/apps/arm/test_bad_input.py",
    "apps/arm/role_assignments.py": "tests/apps/arm/test_authorization.py",
    "apps/arm/role_definitions.py": "tests/apps/arm/test_authorization.py",
    "apps/arm/storage_accounts.py": "tests/security/test_s04_routes.py",
    "apps/arm/targets.py": "tests/apps/arm/test_engine.py",
    "apps/arm/versions.py": "tests/apps/arm/test_engine.py",
    "apps/blob/dfs_listing.py": "tests/apps/blob/test_dfs.py",
    "apps/chain.py": "tests/security/test_s04_routes.py",
    "apps/control.py": "tests/security/test_s04_routes.py",
    "apps/discovery.py": "tests/security/test_s04_routes.py",
    "apps/main.py": "tests/durability/test_kills.py",
    "apps/mlflow/calls.py": "tests/apps/mlflow/test_routes.py",
    "apps/mlflow/calls_traces.py": "tests/apps/mlflow/test_routes.py",
    "apps/mlflow/calls_genai.py": "tests/apps/mlflow/test_routes.py",
    "apps/mlflow/mcp_endpoints.py": "tests/apps/mlflow/test_mcp_servers.py",
    "apps/mlflow/models_port.py": "tests/apps/mlflow/test_registry.py",
    "apps/registry_access.py": "tests/apps/mlflow/test_registry.py",
    "apps/services.py": "tests/control_plane.py",
    "apps/serving/shutdown.py": "tests/cli/test_up.py",
    "apps/shared.py": "tests/security/test_s04_routes.py",
    "apps/status_page.py": "tests/security/test_s04_routes.py",
    "apps/token/errors.py": "tests/apps/token/test_oauth.py",
    "apps/token/pages.py": "tests/apps/token/test_device.py",
    "apps/token/routes.py": "tests/apps/token/test_oauth.py",
    "apps/worker.py": "tests/durability/test_moments.py",
    "cli/demo.py": "tests/acceptance/test_online.py",
    "cli/demo_client.py": "tests/acceptance/test_online.py",
    "cli/keys.py": "tests/cli/test_principal.py",
    "cli/state.py": "tests/cli/test_principal.py",
    "storage/engines.py": "tests/storage/test_db.py",
    "cli/tar_file.py": "tests/cli/test_archive.py",
    "cli/moving/mlflow_folder.py": "tests/cli/moving/test_mlflow_source.py",
    "cli/moving/mlflow_http.py": "tests/cli/moving/test_mlflow_source.py",
    "cli/moving/mlflow_records.py": "tests/cli/moving/test_mlflow_source.py",
    "cli/moving/mlflow_rest.py": "tests/cli/moving/test_mlflow_source.py",
    "cli/moving/mlflow_sqlite.py": "tests/cli/moving/test_mlflow_source.py",
    "cli/moving/outgoing.py": "tests/cli/moving/test_intake.py",
    "cli/moving/registry.py": "tests/cli/moving/test_intake.py",
    "cli/moving/report.py": "tests/cli/moving/test_commands.py",
    "cli/moving/source.py": "tests/cli/moving/test_intake.py",
    "contract/caller.py": "tests/orchestration/test_authority.py",
    "contract/envelope.py": "tests/apps/arm/test_registry.py",
    "domain/jobs/checks.py": "tests/apps/arm/test_bad_input.py",
    "domain/jobs/command.py": "tests/orchestration/test_jobs.py",
    "domain/jobs/kind.py": "tests/orchestration/test_pipelines.py",
    "domain/jobs/pipeline.py": "tests/orchestration/test_pipelines.py",
    "domain/ports.py": "tests/execution/test_executor_contract.py",
    "domain/resource.py": "tests/apps/arm/test_engine.py",
    "domain/resources/assets.py": "tests/apps/arm/test_registry.py",
    "domain/resources/computes.py": "tests/apps/arm/test_registry.py",
    "domain/resources/datastores.py": "tests/apps/arm/test_registry.py",
    "domain/resources/endpoints.py": "tests/apps/arm/test_registry.py",
    "domain/resources/jobs.py": "tests/apps/arm/test_registry.py",
    "domain/resources/workspaces.py": "tests/apps/arm/test_registry.py",
    "domain/sweeps/plan.py": "tests/domain/jobs/test_sweep.py",
    "domain/sweeps/read_space.py": "tests/domain/sweeps/test_space.py",
    "domain/sweeps/sobol.py": "tests/domain/sweeps/test_sampling.py",
    "domain/sweeps/trial.py": "tests/domain/jobs/test_sweep.py",
    "execution/runtime/parallel/__main__.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/parallel/entry.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/parallel/plan.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/parallel/progress.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/parallel/table.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/parallel/worker.py": "tests/orchestration/test_job_parallel.py",
    "execution/runtime/serve/__main__.py": "tests/execution/runtime/serve/test_master.py",
    "execution/runtime/serve/legacy/__init__.py": "tests/execution/runtime/serve/legacy/test_finder.py",
    "execution/runtime/serve/server.py": "tests/execution/runtime/serve/test_conformance.py",
    "execution/runtime/spawn.py": "tests/execution/test_executor_contract.py",
    "execution/runtime/words.py": "tests/execution/runtime/test_keeper.py",
    "orchestration/deployment_build.py": "tests/orchestration/test_deployments.py",
    "orchestration/instances.py": "tests/orchestration/test_deployments.py",
    "orchestration/events.py": "tests/orchestration/test_schedule_events.py",
    "orchestration/job_create.py": "tests/orchestration/test_schedules.py",
    "orchestration/job_delete.py": "tests/orchestration/test_jobs.py",
    "orchestration/job_env.py": "tests/orchestration/test_jobs.py",
    "orchestration/job_finish.py": "tests/orchestration/test_jobs.py",
    "orchestration/job_prepare.py": "tests/orchestration/test_jobs.py",
    "orchestration/job_ready.py": "tests/orchestration/test_job_queue.py",
    "orchestration/job_references.py": "tests/orchestration/test_jobs.py",
    "orchestration/copying.py": "tests/orchestration/test_sweeps.py",
    "orchestration/pipeline_check.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_component.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_end.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_loops.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_resume.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_steps.py": "tests/orchestration/test_pipelines.py",
    "orchestration/pipeline_values.py": "tests/orchestration/test_pipelines.py",
    "orchestration/removal.py": "tests/security/test_s05_crossing.py",
    "orchestration/provisioning.py": "tests/orchestration/test_schedules.py",
    "orchestration/reuse.py": "tests/orchestration/test_pipelines.py",
    "orchestration/runtime.py": "tests/orchestration/place.py",
    "orchestration/sweep_finish.py": "tests/orchestration/test_sweeps.py",
    "orchestration/sweep_trials.py": "tests/orchestration/test_sweeps.py",
    "orchestration/usage.py": "tests/apps/arm/test_actions_usage.py",
    "storage/away.py": "tests/storage/test_db.py",
    "storage/blobs/appending.py": "tests/apps/blob/test_append_blob.py",
    "storage/blobs/local_extents.py": "tests/storage/blobs/test_extents.py",
    "storage/blobs/object_extents.py": "tests/storage/blobs/test_extents.py",
    "storage/blobs/records.py": "tests/storage/blobs/test_store.py",
    "storage/moving/read.py": "tests/cli/moving/test_intake.py",
    "storage/moving/rows.py": "tests/cli/moving/test_intake.py",
    "storage/moving/write.py": "tests/cli/moving/test_intake.py",
    "storage/trace_rows.py": "tests/storage/test_traces.py",
    "storage/genai_tables.py": "tests/storage/test_schema.py",
    "storage/mcp_endpoints.py": "tests/storage/test_mcp_servers.py",
    "storage/metric_history.py": "tests/storage/test_metrics.py",
    "storage/migrations/env.py": "tests/cli/test_up.py",
    "storage/migrations/versions/0001_first.py": "tests/storage/test_schema.py",
    "storage/migrations/versions/0002_task_again.py": "tests/storage/test_schema.py",
    "storage/migrations/versions/0003_metric_sketch.py": "tests/storage/test_schema.py",
    "storage/migrations/versions/0004_traces.py": "tests/storage/test_schema.py",
    "storage/migrations/versions/0005_genai.py": "tests/storage/test_schema.py",
    "storage/migrations/versions/0006_mcp.py": "tests/storage/test_schema.py",
    "storage/tables.py": "tests/storage/test_access.py",
}


class TestMirror:
    def test_every_module_has_its_test(self):
        modules = {path.relative_to(CODE) for path in CODE.rglob("*.py") if ast.parse(path.read_text()).body[1:] or path.name != "__init__.py"}
        without = {
            module.as_posix() for module in modules
            if not (ROOT / "tests" / module.parent / f"test_{module.name}").exists() and len((CODE / module).read_text().splitlines()) > 6
        }
        assert without == set(ELSEWHERE), "write a test at the mirrored place, or say where it is tested; what has one needs no line"

    def test_what_is_tested_elsewhere_is(self):
        assert not [name for name, place in ELSEWHERE.items() if not (ROOT / place).is_file()]
