"""Which of MLflow's sources is meant."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lazward.cli.moving.source import BadSource, Source


def open_source(source: str, chosen: tuple[str, ...], artifacts: str | None, with_files: bool) -> Source:
    """source: as the command line gives it. Raises BadSource for what is none, or cannot be read."""
    if source.lower().startswith(("http://", "https://")):
        from lazward.cli.moving.mlflow_rest import Rest

        return Rest(source, chosen, with_files)
    if source.startswith("sqlite:"):
        from lazward.cli.moving.mlflow_sqlite import SqliteFile

        file = Path(source.removeprefix("sqlite:///")).expanduser()
        if not source.startswith("sqlite:///") or not file.is_file():
            raise BadSource(f"There is no file {file}: give sqlite:///mlflow.db, or sqlite:////absolute/path/mlflow.db.")
        return SqliteFile(file, Path(artifacts).expanduser() if artifacts else file.absolute().parent / "mlartifacts", chosen, with_files)
    parts = urlsplit(source)
    if parts.scheme not in ("", "file") or parts.netloc:
        raise BadSource(f"'{source[:300]}' is none of http(s)://HOST, sqlite:///FILE and a folder mlruns.")
    from lazward.cli.moving.mlflow_folder import Folder

    return Folder(Path(unquote(parts.path) if parts.scheme else source).expanduser(), chosen, with_files)
