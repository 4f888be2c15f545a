"""What a workspace holds from its first moment, and that nothing of it is left when it is deleted."""

from __future__ import annotations

import sqlalchemy as sa

from lazward.domain.curated import all_curated
from lazward.orchestration.data import ARTIFACTS
from lazward.storage import resources, tables, tasks
from tests.orchestration.place import GROUP, HOME, ML, SUBSCRIPTION


def below(place, kind: str) -> dict[str, dict]:
    rows = place.db.read_now(resources.every, f"{ML}/workspaces/{kind}", parent=HOME.lower())
    return {row.name: row.properties for row in rows}


class TestSeed:
    async def test_the_conventional_datastores_lead_to_containers_that_are_there(self, place):
        stores = below(place, "datastores")
        assert set(stores) == {"workspaceblobstore", "workspaceartifactstore", "workspaceworkingdirectory", "workspacefilestore"}
        assert [name for name, facts in stores.items() if facts["isDefault"]] == ["workspaceblobstore"]
        for name, facts in stores.items():
            account = facts["accountName"].rsplit("/", 1)[1]
            assert account == place.account
            container = facts.get("containerName") or facts["fileShareName"]
            await place.blobs.put(account, container, "x", b"1")
            assert await place.blobs.read_all(account, container, "x") == b"1", name

    async def test_every_curated_environment_has_its_name_and_one_version(self, place):
        environments = below(place, "environments")
        for known in all_curated():
            name = known.name if known.name.lower().startswith("azureml-") else f"AzureML-{known.name}"
            version = place.facts(f"environments/{name}/versions/{known.version}")
            assert (environments[name]["latestVersion"], version["lazwardCurated"]) == (str(known.version), known.name)


class TestDelete:
    async def test_jobs_are_stopped_and_nothing_is_left(self, place, tmp_path):
        key = place.job("long", f"touch {tmp_path}/begun; sleep 600")
        place.put("models/m/versions/1", {"modelUri": "azureml://datastores/workspaceblobstore/paths/m/"})
        account = place.account
        await place.blobs.put(account, ARTIFACTS, "a/b", b"bytes")
        await place.start()
        await place.until(lambda: (tmp_path / "begun").exists())
        place.db.write_now(tasks.enqueue, "workspace.delete", HOME.lower(), {}, 1.0)
        await place.until(lambda: place.db.read_now(resources.get, HOME) is None, lambda: place.facts("jobs/long"))
        await place.until(lambda: place.launches() == [], place.launches)

        def left(tx) -> dict[str, int]:
            home, r, c = HOME.lower(), tables.resource.c, tables.container.c
            counted = {
                "resources": sa.select(sa.func.count()).where(sa.or_(r.key == home, r.key.startswith(home + "/"))),
                "runs": sa.select(sa.func.count()).where(tables.run.c.workspace == home),
                "containers": sa.select(sa.func.count()).where(c.account == account),
            }
            return {name: tx.execute(query).scalar_one() for name, query in counted.items()}

        assert place.db.read_now(left) == {"resources": 0, "runs": 0, "containers": 0}
        assert place.db.read_now(tasks.open_for, key, "job.run") is None

    async def test_a_group_takes_its_workspaces_and_its_registries_along(self, place):
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
        registries = place.db.read_now(resources.every, f"{ML}/registries", parent=group.lower())
        await place.start()
        place.db.write_now(tasks.enqueue, "group.delete", group.lower(), {}, 1.0)
        await place.until(lambda: place.db.read_now(resources.get, group) is None)
        assert place.db.read_now(resources.get, HOME) is None
        assert not [row for row in registries if place.db.read_now(resources.get, row.key)]
