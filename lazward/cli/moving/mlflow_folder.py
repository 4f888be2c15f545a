"""A folder `mlruns` as MLflow's file store writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from lazward.cli.moving import mlflow_records as made
from lazward.cli.moving.local_files import files_below, inside
from lazward.cli.moving.source import BadSource, File, Item, Left, Points
from lazward.domain.tracking.moved import Input, RunEnd, Values

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_RUNS = {"tags", "datasets", "traces", "models"}
_MAX_YAML = 16 << 20


class Folder:
    """chosen: names of experiments, or () for all."""

    def __init__(self, root: Path, chosen: tuple[str, ...], artifacts: bool):
        self.root, self.chosen, self.artifacts = root, chosen, artifacts
        if not root.is_dir():
            raise BadSource(f"There is no folder {root}.")
        self._experiments = [(folder, meta) for folder in self._experiment_folders() if (meta := self._yaml(folder)) and (not chosen or meta.get("name") in chosen)]
        if not self._experiments:
            raise BadSource(f"{root} holds no experiments{' of those names' if chosen else ''}: it is the folder with one folder for each, with a meta.yaml.")
        self._runs: list[Path] = []
        self._models: list[Path] = []
        self._links: dict[str, list[tuple[str, str, int]]] = {}
        self._taken: set[str] = set()  # ids of runs and logged models

    def totals(self) -> dict[str, int]:
        return {"experiments": len(self._experiments), "runs": sum(1 for folder, _ in self._experiments for _ in self._run_folders(folder))}

    def items(self) -> Iterator[Item]:
        for folder, meta in self._experiments:
            tags = self._texts(folder / "tags")
            yield made.experiment(meta["experiment_id"], meta["name"], meta.get("lifecycle_stage") or "active", tags, meta.get("creation_time"), meta.get("last_update_time"))
        for folder, _ in self._experiments:
            for run in self._run_folders(folder):
                yield from self._run(folder, run)
        for folder, _ in self._experiments:
            for model in self._folders(folder / "models"):
                yield from self._model(model)
        for model in self._folders(self.root / "models"):
            yield from self._registered(model)
        traces = sum(1 for folder, _ in self._experiments for _ in self._folders(folder / "traces"))
        if traces:
            yield Left(f"{traces} traces", "traces of a folder are not read; import from a server that serves it")
        if self.artifacts:
            for owner, folders in (("run", self._runs), ("model", self._models)):
                for folder in folders:
                    yield from self._files(folder, owner)

    # ---- runs ---------------------------------------------------------------------------------------------------------------

    def _run(self, experiment: Path, folder: Path) -> Iterator[Item]:
        meta = self._yaml(folder)
        if meta is None:
            yield Left(f"run {folder.name}", "it has no meta.yaml that can be read")
            return
        id_ = str(meta.get("run_id") or meta.get("run_uuid") or folder.name)
        history = {path.relative_to(folder / "metrics").as_posix(): path for path in self._all(folder / "metrics")}
        try:
            latest = made.newest(point for key, path in history.items() for point in _points(key, path))
        except (ValueError, OSError) as error:
            yield Left(f"run {id_}", f"its metrics cannot be read: {error}")
            return
        times = meta.get("start_time"), meta.get("end_time"), meta.get("deleted_time")
        yield made.run(
            id_, str(meta["experiment_id"]), meta.get("run_name") or meta.get("name"), meta.get("status", 1), meta.get("lifecycle_stage"), meta.get("user_id"), times,
            self._texts(folder / "params"), self._texts(folder / "tags"), list(self._inputs(experiment, folder, id_)), latest,
        )

        def values() -> Iterator[Values]:
            yield from made.in_pieces(id_, (point for key, path in sorted(history.items()) for point in _points(key, path)))

        yield Points(id_, values)
        yield RunEnd(id_)
        self._taken.add(id_)
        self._runs.append(folder)

    def _inputs(self, experiment: Path, run: Path, id_: str) -> Iterator[Input]:
        for kind, link in (("inputs", "model_in"), ("outputs", "model_out")):
            for folder in self._folders(run / kind):
                meta = self._yaml(folder) or {}
                model = str(meta.get("destination_id") if kind == "outputs" or meta.get("destination_type") == "MODEL_INPUT" else meta.get("source_id"))
                if kind == "inputs" and meta.get("source_type") == "DATASET":
                    found = self._yaml(experiment / "datasets" / str(meta.get("source_id")))
                    if found:
                        texts = [found.get(name) for name in ("source_type", "source", "schema", "profile")]
                        yield Input(str(found["name"]), str(found["digest"]), texts[0] or "", texts[1] or "", texts[2], texts[3], {k: str(v) for k, v in (meta.get("tags") or {}).items()})
                elif model.startswith("m-"):
                    self._links.setdefault(model, []).append((link, id_, int(meta.get("step") or 0)))

    # ---- models -------------------------------------------------------------------------------------------------------------

    def _model(self, folder: Path) -> Iterator[Item]:
        meta = self._yaml(folder)
        if meta is None:
            yield Left(f"logged model {folder.name}", "it has no meta.yaml that can be read")
            return
        status = meta.get("status")
        number = made.MODEL_STATUS_NAMES.get(str(status), status if isinstance(status, int) else 1)
        metrics = []
        for path in self._all(folder / "metrics"):
            for line in path.read_text().splitlines():
                at, value, step, run, *dataset = line.split(" ")
                name, digest = dataset if len(dataset) == 2 else ("", "")
                metrics.append((path.relative_to(folder / "metrics").as_posix(), int(at), int(step), _number(value), run, name, digest))
        yield made.model(
            str(meta["model_id"]), str(meta["experiment_id"]), str(meta["name"]), meta.get("model_type"), made.MODEL_STATUSES[number], meta.get("lifecycle_stage"),
            meta.get("source_run_id"), self._texts(folder / "tags"), self._texts(folder / "params"), meta["creation_timestamp"], meta["last_updated_timestamp"], metrics,
            self._links.get(folder.name, []),
        )
        self._taken.add(str(meta["model_id"]))
        self._models.append(folder)

    def _registered(self, folder: Path) -> Iterator[Item]:
        meta = self._yaml(folder)
        if meta is None:
            return
        aliases = self._texts(folder / "aliases")
        of = made.registered(str(meta["name"]), meta.get("description"), self._texts(folder / "tags"), aliases, meta["creation_timestamp"], meta.get("last_updated_timestamp"))
        versions: list[Item] = []
        for path in sorted(self._folders(folder), key=lambda p: (len(p.name), p.name)):
            facts = self._yaml(path) if path.name.startswith("version-") else None
            if facts is None or facts.get("current_stage") == "Deleted_Internal":
                continue
            facts = {**facts, "created": facts["creation_timestamp"], "updated": facts.get("last_updated_timestamp")}
            version = made.version(of, facts["version"], facts, self._texts(path / "tags"), facts.get("storage_location") or "")
            if isinstance(version, str):
                if not self.chosen:
                    versions.append(Left(f"version {facts['version']} of the model {of.name!r}", version))
            elif not self.chosen or (version.files and version.files.id in self._taken):
                versions.append(version)
        if versions or not self.chosen:
            yield of
            yield from versions

    # ---- files --------------------------------------------------------------------------------------------------------------

    def _files(self, folder: Path, owner: Any) -> Iterator[File | Left]:
        meta = self._yaml(folder) or {}
        id_ = str(meta.get("run_id") or meta.get("run_uuid") or meta.get("model_id") or folder.name)
        place = inside(self.root, folder / "artifacts")
        if place is not None and place.is_dir():
            yield from files_below(place, owner, id_)
        uri = str(meta.get("artifact_uri") or meta.get("artifact_location") or "")
        told = Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else Path(uri)
        if (":" in uri and not uri.startswith("file:")) or (uri and told.is_dir() and inside(self.root, told) is None):
            yield Left(f"files of the {owner} {id_}", f"they are at {uri}, not in the folder")

    def _experiment_folders(self) -> Iterator[Path]:
        for top in (self.root, self.root / ".trash"):
            yield from (folder for folder in self._folders(top) if folder.name not in ("models", ".trash") and (folder / "meta.yaml").is_file())

    def _run_folders(self, experiment: Path) -> Iterator[Path]:
        return (folder for folder in self._folders(experiment) if folder.name not in _NOT_RUNS)

    def _folders(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()) if folder.is_dir() and inside(self.root, folder) else []

    def _all(self, folder: Path) -> list[Path]:
        """Regular files below: keys may have slashes."""
        return sorted(path for path in folder.rglob("*") if path.is_file() and inside(self.root, path)) if folder.is_dir() else []

    def _texts(self, folder: Path) -> dict[str, str]:
        try:
            return {path.relative_to(folder).as_posix(): path.read_text() for path in self._all(folder)}
        except (OSError, UnicodeDecodeError) as error:
            raise BadSource(f"{folder}: {error}.") from None

    def _yaml(self, folder: Path) -> dict[str, Any] | None:
        path = folder / "meta.yaml"
        try:
            if inside(self.root, path) is None or path.stat().st_size > _MAX_YAML:
                return None
            found = yaml.load(path.read_text(), _LOADER)  # noqa: S506 - one of the safe loaders
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def _points(key: str, path: Path) -> Iterator[tuple[str, int, int, Any]]:
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if len(words) not in (2, 3, 5):
                raise ValueError(f"line {number} of {path} has {len(words)} words")
            yield key, int(words[0]), int(words[2]) if len(words) > 2 else 0, _number(words[1])


def _number(text: str) -> Any:
    value = float(text)
    return value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
