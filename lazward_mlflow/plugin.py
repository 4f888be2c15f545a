"""What MLflow loads when it is imported. Nothing happens, and next to nothing is imported, unless the environment asks for a spool."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def activate() -> None:
    """Never raises: whatever is wrong with us, MLflow works as if we were not there."""
    if os.environ.get("LAZWARD_SPOOL") is None and os.environ.get("LAZWARD_OFFLINE") is None:
        return
    from lazward_mlflow.settings import Settings, say, wanted

    if not wanted(os.environ):
        return
    try:
        from lazward_mlflow.hooks import install

        install(Settings(os.environ))
    except Exception as error:
        say(f"the spool could not be set up, so that an outage of the tracking server is not survived: {type(error).__name__}: {error}")


def store(store_uri: str | None = None, artifact_uri: str | None = None, **more: Any) -> Any:
    """The builder that the entry point must name. No tracking URI has our scheme; ours is to be loaded, that is all."""
    from mlflow.exceptions import MlflowException

    raise MlflowException("lazward-spool is no scheme of a tracking URI: set LAZWARD_SPOOL=on and keep your tracking URI.")


activate()
