import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.distribution import ports_needed, ranks

COUNTS = st.integers(1, 9)


def group(distribution, instances):
    return ranks(distribution, instances, list(range(20000, 20000 + ports_needed(distribution, instances))))


class TestRanks:
    def test_a_plain_job_is_one_process_for_each_instance(self):
        [only] = group(None, 1)
        assert only.env["NODE_RANK"] == "0"
        assert [rank.env["NODE_RANK"] for rank in group(None, 3)] == ["0", "1", "2"]
        assert ports_needed(None, 3) == 0

    @given(COUNTS, COUNTS, st.sampled_from(["PyTorch", "Mpi", "pytorch"]))
    def test_ranks_count_through_and_agree_on_the_rest(self, instances, per_node, kind):
        found = group({"distributionType": kind, "processCountPerInstance": per_node}, instances)
        world = instances * per_node
        assert [int(r.env["RANK"]) for r in found] == list(range(world)) == [r.index for r in found]
        for rank in found:
            env = rank.env
            assert int(env["RANK"]) == int(env["NODE_RANK"]) * per_node + int(env["LOCAL_RANK"])
            assert int(env["LOCAL_RANK"]) < int(env["LOCAL_WORLD_SIZE"]) == per_node
        same = {(r.env["WORLD_SIZE"], r.env["MASTER_ADDR"], r.env["MASTER_PORT"], r.env["NODE_COUNT"]) for r in found}
        assert same == {(str(world), "127.0.0.1", "20000", str(instances))}

    def test_mpi_has_what_open_mpi_sets(self):
        """OMPI_COMM_WORLD_NODE_RANK is the rank on the node, not of the node (Open MPI's documentation of its environment)."""
        found = group({"distributionType": "Mpi", "processCountPerInstance": 2}, 2)
        names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_NODE_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE")
        assert [tuple(r.env[n] for n in names) for r in found] == [("0", "0", "0", "4", "2"), ("1", "1", "1", "4", "2"), ("2", "0", "0", "4", "2"), ("3", "1", "1", "4", "2")]

    def test_pytorch_has_nothing_of_mpi(self):
        assert not any(name.startswith("OMPI") for name in group({"distributionType": "PyTorch"}, 1)[0].env)

    @given(COUNTS, st.integers(0, 4))
    def test_every_tensorflow_task_knows_the_same_cluster_and_its_own_place(self, workers, servers):
        found = group({"distributionType": "TensorFlow", "workerCount": workers, "parameterServerCount": servers}, 1)
        configs = [json.loads(r.env["TF_CONFIG"]) for r in found]
        cluster = configs[0]["cluster"]
        assert all(c["cluster"] == cluster for c in configs)
        assert len(cluster["worker"]) == workers
        assert len(cluster.get("ps", [])) == servers
        addresses = [a for part in cluster.values() for a in part]
        assert len(set(addresses)) == workers + servers
        places = [(c["task"]["type"], c["task"]["index"]) for c in configs]
        assert sorted(places) == sorted((kind, i) for kind in cluster for i in range(len(cluster[kind])))

    @pytest.mark.parametrize(("instances", "servers", "workers"), [(1, 0, 1), (4, 0, 4), (4, 1, 3), (1, 1, 1)])
    def test_tensorflow_workers_follow_from_the_instances_when_not_told(self, instances, servers, workers):
        found = group({"distributionType": "TensorFlow", "parameterServerCount": servers}, instances)
        assert len(json.loads(found[0].env["TF_CONFIG"])["cluster"]["worker"]) == workers
