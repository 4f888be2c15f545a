"""The part of every_call.py about files and the model registry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

Record = Any  # of every_call.py, which imports this module


def artifacts(client: MlflowClient, do: Record, run: str, model: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "tree" / "sub").mkdir(parents=True)
        (root / "tree" / "a.txt").write_text("a")
        (root / "tree" / "sub" / "b ä.txt").write_text("bb")
        do("log_artifact", client.log_artifact, run, str(root / "tree" / "a.txt"))
        do("log_artifact below", client.log_artifact, run, str(root / "tree" / "a.txt"), "some/where")
        do("log_artifacts", client.log_artifacts, run, str(root / "tree"), "tree")
        do("log_model_artifact", client.log_model_artifact, model, str(root / "tree" / "a.txt"))
        do("log_model_artifacts", client.log_model_artifacts, model, str(root / "tree"), "t")
        do("log_text", client.log_text, run, "text", "texts/t.txt")
        do("log_dict", client.log_dict, run, {"a": 1}, "d.json")
        do("log_table", client.log_table, run, {"x": [1, 2]}, "table.json")
        do("log_table again", client.log_table, run, {"x": [3]}, "table.json")
        with (root / "tree" / "a.txt").open("rb") as stream:
            do("log_stream", client.log_stream, run, stream, "streams/s.bin")
        figure = __import__("matplotlib.figure", fromlist=["Figure"]).Figure()
        do("log_figure", client.log_figure, run, figure, "f.png")
        do("log_image", client.log_image, run, __import__("numpy").zeros((4, 4, 3), dtype="uint8"), "i.png")
        files = lambda found: [(f.path, f.is_dir, None if f.path.endswith(("png", "json")) else f.file_size) for f in found]  # noqa: E731
        for path in (None, "tree", "tree/sub", "tree/a.txt", "nothing", "../x", "/etc", "tree/../tree"):
            do(f"list_artifacts {path}", client.list_artifacts, run, path, show=files)
        do("list_artifacts of an unknown run", client.list_artifacts, "0" * 32)
        for path in (None, "t"):
            do(f"list_logged_model_artifacts {path}", client.list_logged_model_artifacts, model, path, show=files)
        target = root / "down"
        target.mkdir()
        do("download_artifacts", client.download_artifacts, run, "tree", str(target), show=lambda at: sorted(p.relative_to(at).as_posix() for p in Path(at).rglob("*")))
        for path in ("nothing.txt", "../../etc/passwd", "tree/%2e%2e/%2e%2e/x"):
            do(f"download_artifacts {path}", client.download_artifacts, run, path, str(target), show=lambda _: "came")
        experiment = client.get_run(run).info.experiment_id
        do("load_table", client.load_table, experiment, "table.json", run_ids=[run], show=lambda table: sorted(table["x"]))


def registry(client: MlflowClient, do: Record, run: str, model: str) -> None:
    aliases = lambda m: (m.name, m.description, m.tags, m.aliases, [v.version for v in m.latest_versions])  # noqa: E731
    version = lambda v: (v.name, v.version, v.description, v.tags, sorted(v.aliases), v.current_stage, v.status, v.run_id, v.run_link, v.model_id, v.user_id is not None)  # noqa: E731
    do("create_registered_model", client.create_registered_model, "clf", tags={"a": "b"}, description="about", show=aliases)
    do("create_registered_model again", client.create_registered_model, "clf")
    for name in ("", "a/b", "a:b", " "):
        do(f"create_registered_model {name!r}", client.create_registered_model, name)
    do("get_registered_model", client.get_registered_model, "clf", show=aliases)
    do("get_registered_model unknown", client.get_registered_model, "nothing")
    do("update_registered_model", client.update_registered_model, "clf", "more", show=aliases)
    do("update_registered_model unknown", client.update_registered_model, "nothing", "more")
    do("set_registered_model_tag", client.set_registered_model_tag, "clf", "c", 1)
    do("delete_registered_model_tag", client.delete_registered_model_tag, "clf", "a")
    do("delete_registered_model_tag unknown", client.delete_registered_model_tag, "clf", "a")
    do("set_registered_model_tag, bad key", client.set_registered_model_tag, "clf", "a/../b", 1)
    do("create_model_version", client.create_model_version, "clf", f"runs:/{run}/tree", run, tags={"x": "y"}, description="one", run_link="http://link", show=version)
    do("create_model_version of a logged model", client.create_model_version, "clf", f"models:/{model}", model_id=model, show=version)
    third = client.get_run(run).info.artifact_uri + "/tree"
    do("create_model_version of a place", client.create_model_version, "clf", third, run, show=version)
    do("create_model_version of an unknown model", client.create_model_version, "nothing", f"runs:/{run}/tree", run)
    for source in ("/etc/passwd", "file:///etc/passwd", f"runs:/{run}/../../x", "mlflow-artifacts:/../../etc", "models:/nothing/1"):
        do(f"create_model_version from {source.replace(run, 'RUN')}", client.create_model_version, "clf", source, run)
    do("get_model_version", client.get_model_version, "clf", "1", show=version)
    do("get_model_version unknown", client.get_model_version, "clf", "77")
    do("get_model_version, bad", client.get_model_version, "clf", "x")
    do("update_model_version", client.update_model_version, "clf", "1", "changed", show=version)
    do("set_model_version_tag", client.set_model_version_tag, "clf", "1", "k", "v")
    do("delete_model_version_tag", client.delete_model_version_tag, "clf", "1", "x")
    do("delete_model_version_tag unknown", client.delete_model_version_tag, "clf", "1", "x")
    do("set_registered_model_alias", client.set_registered_model_alias, "clf", "champion", "1")
    do("set_registered_model_alias moved", client.set_registered_model_alias, "clf", "champion", "2")
    do("set_registered_model_alias of an unknown version", client.set_registered_model_alias, "clf", "x", "77")
    for alias in ("latest", "v1", "a b", "", "x" * 256):
        do(f"set_registered_model_alias {alias[:9]!r}", client.set_registered_model_alias, "clf", alias, "1")
    do("get_model_version_by_alias", client.get_model_version_by_alias, "clf", "champion", show=version)
    do("get_model_version_by_alias unknown", client.get_model_version_by_alias, "clf", "nobody")
    do("get_model_version_by_alias latest", client.get_model_version_by_alias, "clf", "latest", show=version)
    do("get_registered_model with aliases", client.get_registered_model, "clf", show=aliases)
    do("get_latest_versions", client.get_latest_versions, "clf", show=lambda vs: [(v.version, v.current_stage) for v in vs])
    do("get_model_version_stages", client.get_model_version_stages, "clf", "1")
    do("transition_model_version_stage", client.transition_model_version_stage, "clf", "1", "Production", show=version)
    do("transition_model_version_stage, archiving", client.transition_model_version_stage, "clf", "2", "production", archive_existing_versions=True, show=version)
    do("transition_model_version_stage, bad", client.transition_model_version_stage, "clf", "1", "Nonsense")
    do("transition_model_version_stage, archiving to none", client.transition_model_version_stage, "clf", "1", "None", archive_existing_versions=True)
    do("get_latest_versions by stage", client.get_latest_versions, "clf", ["Production"], show=lambda vs: [v.version for v in vs])
    do("get_latest_versions, bad stage", client.get_latest_versions, "clf", ["Nonsense"])
    do("get_model_version_download_uri", client.get_model_version_download_uri, "clf", "1", show=lambda uri: ":/" in uri)
    client.create_registered_model("other", tags={"a": "b"})
    names = lambda found: [m.name for m in found]  # noqa: E731
    for text in ("name = 'clf'", "name LIKE 'o%'", "name ILIKE 'CL%'", "tags.a = 'b'", "tags.c != '1'", "tags.c LIKE '1%'", "name = 'clf' AND tags.c = '1'", ""):
        do(f"search_registered_models {text}", client.search_registered_models, text, show=names)
    for text in ("nothing = 'x'", "name > 'x'", "name = x", "tags.a > 'b'", "AND"):
        do(f"search_registered_models refused {text}", client.search_registered_models, text, show=lambda found: len(found) > 0)
    do("search_registered_models by name", client.search_registered_models, order_by=["name DESC"], show=names)
    do("search_registered_models by time", client.search_registered_models, order_by=["last_updated_timestamp DESC"], show=lambda found: sorted(names(found)))
    do("search_registered_models by nothing", client.search_registered_models, order_by=["nothing"])
    page = do("search_registered_models, a page", client.search_registered_models, max_results=1, show=names)
    do("search_registered_models, the next", client.search_registered_models, max_results=1, page_token=page.token, show=names)
    do("search_registered_models, too many", client.search_registered_models, max_results=1001)
    numbers = lambda found: [(v.name, v.version) for v in found]  # noqa: E731
    for text in ("name = 'clf'", "name = 'clf' and version_number > 1", "run_id = 'nothing'", f"run_id = '{run}'", "tags.k = 'v'", "source_path LIKE '%tree%'", "version_number = 1", "name LIKE 'c%'", f"run_id IN ('{run}', 'x')"):
        do(f"search_model_versions {text.replace(run, 'RUN')}", client.search_model_versions, text, order_by=["version_number ASC"], show=numbers)
    for text in ("nothing = 'x'", "version_number LIKE '1'", "run_id IN ()", "name > 'x'"):
        do(f"search_model_versions refused {text}", client.search_model_versions, text)
    do("search_model_versions by stage", client.search_model_versions, "name = 'clf'", order_by=["version_number DESC"], show=numbers)
    do("copy_model_version", client.copy_model_version, "models:/clf/2", "copied", show=version)
    do("delete_registered_model_alias", client.delete_registered_model_alias, "clf", "champion")
    do("delete_registered_model_alias again", client.delete_registered_model_alias, "clf", "champion")
    do("rename_registered_model", client.rename_registered_model, "other", "another", show=lambda m: m.name)
    do("rename_registered_model to a name that is taken", client.rename_registered_model, "another", "clf")
    do("rename_registered_model unknown", client.rename_registered_model, "nothing", "x")
    do("delete_model_version", client.delete_model_version, "clf", "3")
    do("delete_model_version again", client.delete_model_version, "clf", "3")
    do("delete_registered_model", client.delete_registered_model, "clf")
    do("delete_registered_model again", client.delete_registered_model, "clf")
