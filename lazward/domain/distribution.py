"""From a job's distribution to one environment per process. Contracts: torch.distributed's env:// init, Open MPI's variables,
TensorFlow's TF_CONFIG. "Instances" are process groups on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Env = dict[str, str]


@dataclass(frozen=True)
class Rank:
    """One process: its global index, the instance it belongs to, and the variables that tell it so."""

    index: int
    node: int
    env: Env


def ranks(distribution: dict[str, Any] | None, instances: int, ports: list[int], host: str = "127.0.0.1") -> list[Rank]:
    """ports: free ports, the first for rendezvous, one more per TensorFlow task. See `ports_needed`."""
    instances = max(1, instances)
    kind = str((distribution or {}).get("distributionType", "")).lower()
    if kind == "tensorflow":
        return _tensorflow(distribution or {}, instances, ports, host)
    if kind not in ("pytorch", "mpi"):
        base = {"AZUREML_NODE_COUNT": str(instances), "AZ_BATCHAI_NUM_GPUS": "0"}
        return [Rank(i, i, base | {"NODE_RANK": str(i), "NODE_COUNT": str(instances)}) for i in range(instances)]
    per_node = int((distribution or {}).get("processCountPerInstance") or 1)
    world = instances * per_node
    out = []
    for index in range(world):
        node, local = divmod(index, per_node)
        env = {
            "RANK": str(index), "LOCAL_RANK": str(local), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(per_node), "NODE_RANK": str(node),
            "GROUP_RANK": str(node), "MASTER_ADDR": host, "MASTER_PORT": str(ports[0]), "NODE_COUNT": str(instances), "AZUREML_NODE_COUNT": str(instances),
            "AZ_BATCH_MASTER_NODE": f"{host}:{ports[0]}", "AZ_BATCHAI_MPI_MASTER_NODE": host,
        }
        if kind == "mpi":
            env |= {
                "OMPI_COMM_WORLD_RANK": str(index), "OMPI_COMM_WORLD_SIZE": str(world), "OMPI_COMM_WORLD_LOCAL_RANK": str(local),
                "OMPI_COMM_WORLD_LOCAL_SIZE": str(per_node), "OMPI_COMM_WORLD_NODE_RANK": str(local), "OMPI_UNIVERSE_SIZE": str(world),
                "PMI_RANK": str(index), "PMI_SIZE": str(world),
            }
        out.append(Rank(index, node, env))
    return out


def ports_needed(distribution: dict[str, Any] | None, instances: int) -> int:
    kind = str((distribution or {}).get("distributionType", "")).lower()
    if kind == "tensorflow":
        workers, servers = _tensorflow_counts(distribution or {}, instances)
        return workers + servers
    return 1 if kind in ("pytorch", "mpi") else 0


def _tensorflow_counts(distribution: dict[str, Any], instances: int) -> tuple[int, int]:
    servers = int(distribution.get("parameterServerCount") or 0)
    workers = int(distribution.get("workerCount") or max(1, instances - servers))
    return workers, servers


def _tensorflow(distribution: dict[str, Any], instances: int, ports: list[int], host: str) -> list[Rank]:
    workers, servers = _tensorflow_counts(distribution, instances)
    addresses = [f"{host}:{port}" for port in ports[: workers + servers]]
    cluster: dict[str, list[str]] = {"worker": addresses[:workers]}
    if servers:
        cluster["ps"] = addresses[workers:]
    tasks = [("worker", i) for i in range(workers)] + [("ps", i) for i in range(servers)]
    return [
        Rank(at, at, {
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"}),
            "NODE_RANK": str(at), "NODE_COUNT": str(len(tasks)), "AZUREML_NODE_COUNT": str(instances),
        })
        for at, (kind, index) in enumerate(tasks)
    ]
