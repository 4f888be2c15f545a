"""Sizes and usage of the machine, in the words of a region: vmSizes and usages."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.arm.platform import versioned
from lazward.apps.chain import Context, Route, Surface, json_response, render_arm_error, signed_in
from lazward.domain.ports import Capacity
from lazward.execution.capacity import GpuCount, measure
from lazward.storage import resources
from lazward.storage.db import Tx

LOCATIONS = Surface("arm", render_arm_error)
_BASE = "/subscriptions/{sub}/providers/Microsoft.MachineLearningServices/locations/{location}"
# Names that scripts ask for; each stands for this machine, as there is no other.
ALIASES = ("Standard_DS3_v2", "STANDARD_DS3_V2", "Standard_DS2_v2", "Standard_D2s_v3", "Standard_E4ds_v4", "Standard_F4s_v2", "Standard_NC6s_v3", "Standard_NC4as_T4_v3")


def location_routes() -> list[Route]:
    seen = signed_in("facts of the machine that every user of it may know")
    return [
        Route(("GET",), _BASE + "/vmSizes", versioned(sizes), seen, LOCATIONS),
        Route(("GET",), _BASE + "/usages", versioned(usages), seen, LOCATIONS),
    ]


_gpus = GpuCount()


def capacity() -> Capacity:
    here = measure()
    return Capacity(here.cores, here.memory_bytes, int(_gpus))


async def sizes(ctx: Context) -> Response:
    have = capacity()
    facts = {
        "vCPUs": have.cores, "gpus": have.gpus, "osVhdSizeMB": 1047552, "maxResourceVolumeMB": 0, "memoryGB": round(have.memory_bytes / 2**30, 1), "lowPriorityCapable": True,
        "premiumIO": True, "supportedComputeTypes": ["AmlCompute", "ComputeInstance"], "estimatedVMPrices": None,
    }
    names = (f"Lazward_Local_{have.cores}c", *ALIASES)
    return json_response({"value": [{"name": name, "family": "lazwardLocalFamily" if i == 0 else "standardFamily", **facts} for i, name in enumerate(names)]})


async def usages(ctx: Context) -> Response:
    """Cores of the machine against those that running jobs hold, and the counts of what is stored."""
    have = capacity()

    def count(tx: Tx) -> tuple[int, int]:
        prefix = f"/subscriptions/{ctx.params['sub']}"
        running = resources.every(tx, "microsoft.machinelearningservices/workspaces/jobs", under=prefix, keep=lambda r: r.properties.get("status") in ("Preparing", "Starting", "Running", "Finalizing"))
        clusters = resources.every(tx, "microsoft.machinelearningservices/workspaces/computes", under=prefix)
        return len(running), len(clusters)

    running, clusters = await ctx.db.read(count)
    rows = (("Total Cluster Dedicated Regional vCPUs", "cores", min(running, have.cores), have.cores), ("Clusters", "clusters", clusters, 10_000))
    base = ctx.request.scope["path"]
    return json_response({"value": [
        {"id": f"{base}/{key}", "type": "Microsoft.MachineLearningServices/usages", "unit": "Count", "currentValue": used, "limit": limit,
         "name": {"value": key, "localizedValue": text}, "amlWorkspaceLocation": ctx.params["location"]}
        for text, key, used, limit in rows
    ]})


