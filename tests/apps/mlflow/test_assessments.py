from __future__ import annotations

from tests.apps.tracking_app import PLAIN
from tests.storage.trace_data import id_of, start

BASE = f"{PLAIN}/api/3.0/mlflow/traces/{id_of(1)}/assessments"


async def test_life(app):
    start(app.db, 1)
    async with app.client() as client:
        made = (await client.post(BASE, json={"assessment": {"assessment_name": "good", "feedback": {"value": True}, "trace_id": "of another"}})).json()["assessment"]
        assert (made["trace_id"], made["feedback"], made["valid"], made["source"]) == (id_of(1), {"value": True}, True, {"source_type": "SOURCE_TYPE_UNSPECIFIED"})
        where = f"{BASE}/{made['assessment_id']}"
        assert (await client.get(where)).json()["assessment"] == made
        changed = (await client.patch(where, json={"assessment": {"feedback": {"value": "no"}, "rationale": "r"}, "update_mask": "feedback,rationale"})).json()["assessment"]
        assert (changed["feedback"], changed["rationale"], changed["create_time"]) == ({"value": "no"}, "r", made["create_time"])
        assert (await client.get(f"{PLAIN}/api/3.0/mlflow/traces/{id_of(1)}")).json()["trace"]["trace_info"]["assessments"] == [changed]
        assert (await client.request("DELETE", where)).json() == {}
        assert (await client.request("DELETE", where)).status_code == 200  # again
        assert (await client.get(where)).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
        for wrong in ({}, {"assessment": {}}, {"assessment": {"assessment_name": "x"}}):
            assert (await client.post(BASE, json=wrong)).json()["error_code"] == "INVALID_PARAMETER_VALUE"
