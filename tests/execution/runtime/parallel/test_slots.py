from __future__ import annotations

from lazward.execution.runtime.parallel.slots import slots


def test_gpus_are_dealt_out_in_turn():
    assert [s.variables["CUDA_VISIBLE_DEVICES"] for s in slots(1, 3, {"CUDA_VISIBLE_DEVICES": "4,6"}, 8)] == ["4", "6", "4"]
    assert "CUDA_VISIBLE_DEVICES" not in slots(1, 1, {"CUDA_VISIBLE_DEVICES": ""}, 8)[0].variables


def test_numeric_libraries_share_the_cores_unless_the_job_says_how_many():
    assert {s.variables["OMP_NUM_THREADS"] for s in slots(2, 2, {}, 8)} == {"2"}
    assert slots(4, 4, {}, 2)[0].variables["MKL_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in slots(1, 1, {"MKL_NUM_THREADS": "3"}, 8)[0].variables


def test_instances():
    assert [(s.number, s.node, s.variables["NODE_RANK"], s.variables["AZUREML_NODE_COUNT"]) for s in slots(2, 2, {}, 4)] == [(0, 0, "0", "2"), (1, 0, "0", "2"), (2, 1, "1", "2"), (3, 1, "1", "2")]
