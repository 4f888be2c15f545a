"""One file per family of ARM resource types; importing this package fills the REGISTRY."""

from lazward.domain.resources import assets, computes, datastores, endpoints, jobs, schedules, workspaces

__all__ = ["assets", "computes", "datastores", "endpoints", "jobs", "schedules", "workspaces"]
