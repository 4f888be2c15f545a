from __future__ import annotations

from lazward.storage import tasks
from tests.apps.tracking_app import PLAIN
from tests.storage.tracking_data import NOW, OTHER, make_run

API = PLAIN + "/api/2.0/mlflow/"


class TestTrash:
    async def test_listed_in_pages_restored_and_emptied(self, app):
        for i in range(3):
            make_run(app.db, f"r{i}")
        async with app.client() as client:
            for i in range(3):
                assert (await client.post(API + "runs/delete", json={"run_id": f"r{i}"})).status_code == 200
            first = (await client.get(API + "lazward/trash?max_results=2")).json()
            rest = (await client.get(API + f"lazward/trash?max_results=2&page_token={first['next_page_token']}")).json()
            assert [i["id"] for i in first["items"] + rest["items"]] == ["r0", "r1", "r2"] and "next_page_token" not in rest
            assert first["items"][0] | {"kind": "run", "experiment_id": "0"} == first["items"][0]
            assert first["items"][0]["purge_time"] - first["items"][0]["deleted_time"] == 30 * 86400 * 1000
            assert (await client.post(API + "lazward/trash/restore", json={"run_ids": ["r0"]})).status_code == 200
            gone = (await client.post(API + "lazward/trash/empty", json={"run_ids": ["r1"]})).json()
            assert (gone["runs"], gone["experiments"], gone["models"]) == (1, 0, 0)
            told = (await client.get(API + f"lazward/trash/progress?operation={gone['operation']}")).json()
            assert told == {"status": "InProgress", "runs": 0, "models": 0, "files": 0, "bytes": 0}
            assert (await client.get(API + "runs/get?run_id=r1")).status_code == 404
            rest = (await client.post(API + "lazward/trash/empty", json={"older_than_days": 0})).json()
            assert rest["runs"] == 1 and rest["operation"] == gone["operation"], "one worker at it is enough"
            assert (await client.post(API + "lazward/trash/empty", json={"older_than_days": 0})).json() == {"runs": 0, "experiments": 0, "models": 0}
            assert (await client.get(API + "runs/get?run_id=r0")).status_code == 200

    async def test_bad_input(self, app):
        make_run(app.db, "theirs", key=OTHER.key)
        other = app.db.write_now(tasks.enqueue, "tracking.purge", OTHER.key, {}, NOW)
        async with app.client() as client:
            for path, body in (
                ("empty", {}), ("empty", {"run_ids": ["a"], "older_than_days": 1}), ("empty", {"older_than_days": -1}), ("empty", {"older_than_days": "x"}),
                ("empty", {"older_than_days": True}), ("empty", {"run_ids": "a"}), ("empty", {"run_ids": ["a"] * 1001}), ("restore", {"run_ids": [1]}),
            ):
                answer = await client.post(f"{API}lazward/trash/{path}", json=body)
                assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (path, body)
            assert (await client.post(API + "lazward/trash/restore", json={"run_ids": ["theirs"]})).status_code == 404
            assert (await client.post(API + "lazward/trash/empty", json={"run_ids": ["theirs"]})).json()["runs"] == 0
            for query in ("?page_token=x", "?max_results=0", "/progress", f"/progress?operation={other}", "/progress?operation=x"):
                assert (await client.get(f"{API}lazward/trash{query}")).status_code == 400, query
