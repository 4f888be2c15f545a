"""The control plane's chain: every surface's routes, in the order they are tried, over one set of services."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

import lazward.apps.arm.actions_assets
import lazward.apps.arm.actions_endpoints
import lazward.apps.arm.actions_jobs
import lazward.apps.arm.actions_schedules
import lazward.apps.arm.actions_usage
import lazward.domain.resources  # noqa: F401 - fills the REGISTRY
from lazward import __version__
from lazward.apps.arm import actions_workspaces, engine, operations
from lazward.apps.arm.authorization import authorization_routes
from lazward.apps.arm.locations import location_routes
from lazward.apps.arm.openapi import openapi_routes
from lazward.apps.arm.platform import ARM, platform_routes
from lazward.apps.arm.storage_accounts import storage_routes
from lazward.apps.blob.routes import blob_routes
from lazward.apps.chain import Chain, Context, Route, by_handler, json_response, public, signed_in
from lazward.apps.discovery import discovery_routes
from lazward.apps.history.routes import history_routes
from lazward.apps.history.runs import JobsPort
from lazward.apps.metadata import metadata_routes
from lazward.apps.mlflow.models_port import ModelRegistryPort
from lazward.apps.mlflow.routes import mlflow_routes
from lazward.apps.model_registry import StoredModels
from lazward.apps.ports import StoredJobs
from lazward.apps.services import Authority, Services
from lazward.apps.shared import build_authority, build_blobs, load_master_key
from lazward.apps.status_page import status_page
from lazward.apps.token.routes import token_routes
from lazward.domain.settings import Settings, url_host
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database
from lazward.storage.secrets import Vault

_OPERATIONS = "/subscriptions/{sub}/providers/Microsoft.MachineLearningServices/locations/{location}"


def build_chain(settings: Settings, db: Database) -> Chain:
    services = build_services(settings, db)
    return Chain(services, all_routes(services), fallback=ARM)


def build_services(
    settings: Settings, db: Database, *, now: Callable[[], float] = time.time, master_key: bytes | None = None, authority: Authority | None = None,
    blobs: BlobStore | None = None, jobs: JobsPort | None = None, models: ModelRegistryPort | None = None,
) -> Services:
    """Everything that surfaces use. Tests put stand-ins in the place of single parts, and get all others as the server has them.
    Without an authority, the real one is built, and with it what a first start makes."""
    master_key = master_key or load_master_key(settings)
    if authority is None:
        vault, authority = build_authority(settings, db, master_key)
    else:
        vault = Vault(master_key)
    actions_workspaces.use_vault(vault)
    hosts = frozenset({"localhost", "127.0.0.1", "[::1]", url_host(settings.public_host.lower())})
    return Services(
        db=db, authority=authority, settings=settings, now=now, blobs=blobs or build_blobs(settings, db), jobs=jobs or StoredJobs(db, settings, master_key, authority),
        models=models or StoredModels(db, settings), vault=vault, master_key=master_key, allowed_hosts=hosts,
        blob_hosts=frozenset(f"{host}:{settings.port}" for host in hosts),
    )


def all_routes(services: Services) -> list[Route]:
    """Every route there is; the security tests walk this list."""
    below = by_handler("the action of the type and verb at the resource's id (engine)")
    verbs = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE")
    return [
        Route(("GET",), "/healthz", healthz, public("says only that the server is up"), ARM),
        Route(("GET",), "/", status_page, public("shows the server's name and the way in, no state"), ARM),
        Route(("GET",), "/runs/{name}", status_page, public("the page at /, where clients' links to a run lead until the studio is there"), ARM),
        Route(("GET",), "/metrics", metrics, signed_in("counters of requests, without names"), ARM),
        *openapi_routes(),
        *metadata_routes(services),
        *token_routes(services),
        *discovery_routes(),
        *mlflow_routes(services),
        *history_routes(services),
        *authorization_routes(services),
        *platform_routes(),
        *location_routes(),
        *storage_routes(),
        Route(("GET",), _OPERATIONS + "/{kind:(?:mfe|workspace|compute|registry)OperationsStatus}/{operation}", operations.status, by_handler("read of the operation's subject"), ARM),
        Route(("GET",), _OPERATIONS + "/{kind:(?:mfe|workspace|compute|registry)OperationResults}/{operation}", operations.result, by_handler("read of the operation's subject"), ARM),
        Route(verbs, "/mferp/managementfrontend{rest:/subscriptions/.*}", engine.handle, below, ARM, services.settings.max_body_bytes),
        Route(verbs, "/subscriptions/{rest:path}", engine.handle_path, below, ARM, services.settings.max_body_bytes),
        *blob_routes(services),
    ]


async def healthz(ctx: Context) -> Response:
    return json_response({"status": "ok", "version": __version__})


async def metrics(ctx: Context) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
