"""The MLflow plugin that lets a job's logging survive an outage of this server (lazward_mlflow), as a folder for the job's sys.path: the
package and the entry point by which MLflow finds it. Made once for each version of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import lazward_mlflow

NAME = "lazward_mlflow"
_ENTRY_POINTS = "[mlflow.tracking_store]\nlazward-spool = lazward_mlflow.plugin:store\n"
_METADATA = "Metadata-Version: 2.1\nName: lazward-mlflow\nVersion: {}\n"


def installed(cache: Path) -> Path:
    """The folder below `cache`; made when it is not there. Nothing of the server itself can be imported from it."""
    source = Path(lazward_mlflow.__file__).parent
    modules = sorted(source.glob("*.py"))
    digest = hashlib.sha256(b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in modules)).hexdigest()[:16]
    made = cache / digest
    if made.is_dir():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=cache, prefix=".draft-"))
    (draft / NAME).mkdir()
    for path in modules:
        shutil.copyfile(path, draft / NAME / path.name)
    info = draft / f"{NAME}-{digest}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_METADATA.format(f"0+{digest}"))
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    try:
        os.rename(draft, made)  # noqa: PTH104
    except OSError:  # another was quicker
        shutil.rmtree(draft, ignore_errors=True)
    return made
