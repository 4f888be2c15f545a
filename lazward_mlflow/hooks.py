"""Where the spool takes its place in MLflow: the one function by which its clients speak HTTP, the upload of files in parts, and the azureml
plugin's own way of uploading."""

from __future__ import annotations

import atexit
import functools
import os
import sys

from lazward_mlflow.calls import address, split
from lazward_mlflow.outage import reason_of
from lazward_mlflow.senders import UNREADY
from lazward_mlflow.settings import Settings, say
from lazward_mlflow.spool import Spool, artifact_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_spool: Spool | None = None


def install(settings: Settings) -> Spool:
    """Once in a process; MLflow is being imported at this moment."""
    global _spool
    if _spool is not None:
        return _spool
    import mlflow.utils.rest_utils as rest

    original = rest.http_request
    spool = _spool = Spool(settings, original)
    late = functools.lru_cache(None)(lambda: _late(spool, original, http_request))

    @functools.wraps(original)
    def http_request(host_creds: Any, endpoint: str, method: str, *args: Any, **kwargs: Any) -> Any:
        late()
        if args:
            return original(host_creds, endpoint, method, *args, **kwargs)
        return spool.request(host_creds, endpoint, method, **kwargs)

    rest.http_request = http_request
    _replace(original, http_request)
    if settings.offline:
        _offline_stores()
    atexit.register(spool.close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=spool.reset)
    return spool


def _replace(original: Any, ours: Any) -> None:
    """In modules that have it under a name of their own already."""
    for name, module in list(sys.modules.items()):
        if name.startswith("mlflow.") and module is not None and vars(module).get("http_request") is original:
            module.http_request = ours  # type: ignore[attr-defined]


def _late(spool: Spool, original: Any, ours: Any) -> None:
    """What can only be done once MLflow is there: with its first call."""
    _replace(original, ours)
    for step in (_parts, _azureml, _children):
        try:
            step(spool)
        except Exception as error:
            say(f"uploads are as MLflow makes them, without the spool: {type(error).__name__}: {error}")


def _parts(spool: Spool) -> None:
    """An upload in parts that the server does not see to its end becomes one whole, which can be kept."""
    from mlflow.exceptions import _UnsupportedMultipartUploadException
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    original = HttpArtifactRepository._try_multipart_upload

    @functools.wraps(original)
    def upload(self: Any, local_file: Any, artifact_path: Any = None) -> Any:
        found = _base_of(self.artifact_uri)
        lane = spool.lane(found) if found else None
        if spool.settings.offline or (lane and lane.pending):
            raise _UnsupportedMultipartUploadException()
        try:
            return original(self, local_file, artifact_path)
        except _UnsupportedMultipartUploadException:
            raise
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if lane is None or not (status in UNREADY or reason_of(error) or spool._probe(lane)):
                raise
            raise _UnsupportedMultipartUploadException() from None

    HttpArtifactRepository._try_multipart_upload = upload


def _base_of(uri: str) -> str:
    found = split(uri + "/x")
    return found[0] if found else ""


def _azureml(spool: Spool) -> None:
    """The plugin's artifact repositories, as MLflow makes them: their client is replaced by one that knows the spool."""
    from mlflow.store.artifact.artifact_repository_registry import ArtifactRepositoryRegistry

    original = ArtifactRepositoryRegistry.get_artifact_repository

    @functools.wraps(original)
    def get_artifact_repository(self: Any, *args: Any, **kwargs: Any) -> Any:
        repository: Any = original(self, *args, **kwargs)
        client = getattr(repository, "artifacts", None)
        if type(repository).__module__.startswith("azureml.mlflow.") and type(client).__name__ == "RunArtifactsClient":
            repository.artifacts = _RunArtifacts(spool, client)
        return repository

    ArtifactRepositoryRegistry.get_artifact_repository = get_artifact_repository


class _RunArtifacts:
    """RunArtifactsClient of the azureml plugin, with uploads that survive an outage."""

    def __init__(self, spool: Spool, client: Any):
        self._spool, self._client = spool, client
        context = client._service_context
        scope = context._get_scope()
        known = [base for base in spool.lanes if base.endswith(scope)]
        self._base = known[0] if known else f"{context.host_url.rstrip('/')}/mlflow/v2.0{scope}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def upload_file(self, local_path: str, artifact_path_: str) -> Any:
        return self._spool.upload(self._base, artifact_path(self._client._run_id, artifact_path_), local_path, lambda: self._client.upload_file(local_path, artifact_path_))

    def upload_dir(self, local_dir: str, artifact_path_: str) -> Any:
        done: list[Any] = []

        def whole() -> Any:
            if not done:  # all at once, as the plugin does it, for the first file
                done.append(list(self._client.upload_dir(local_dir, artifact_path_)))
            return done[0]

        top = os.path.abspath(local_dir)
        for root, _, names in os.walk(top):
            for name in names:
                path = os.path.join(root, name)
                below = os.path.relpath(path, top).replace(os.sep, "/")
                to = f"{artifact_path_.rstrip('/')}/{below}" if artifact_path_.strip("/") else below
                self._spool.upload(self._base, artifact_path(self._client._run_id, to), path, whole)
        return done[0] if done else []


def _children(spool: Spool) -> None:
    """Processes that multiprocessing forks end without atexit."""
    from multiprocessing import util

    def begun(forked: Spool) -> None:
        util.Finalize(None, forked.close, exitpriority=-100)

    util.register_after_fork(spool, begun)


def _offline_stores() -> None:
    """azureml:// without its plugin, which asks the server for this and that before it can begin: all that is needed is the address."""
    from mlflow.tracking.registry import StoreRegistry

    original = StoreRegistry.get_store_builder

    @functools.wraps(original)
    def get_store_builder(self: Any, store_uri: Any) -> Any:
        if self.group_name == "mlflow.tracking_store" and str(store_uri).startswith("azureml://"):
            return _offline_azureml
        return original(self, store_uri)

    StoreRegistry.get_store_builder = get_store_builder


def _offline_azureml(store_uri: str, artifact_uri: Any = None, **more: Any) -> Any:
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.utils.rest_utils import MlflowHostCreds

    base = address(store_uri)
    return RestStore(lambda: MlflowHostCreds(base))
