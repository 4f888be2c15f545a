"""When the server is stopped in good order its model servers end too: nobody could reach them. Jobs run on.

The next start brings them back: `deployment.keep` starts what ended."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from lazward.domain.settings import Settings
from lazward.execution.local import LocalExecutor
from lazward.orchestration.gateway import DEPLOYMENTS
from lazward.orchestration.instances import facts_of, instances_of, launch_of
from lazward.storage import resources
from lazward.storage.db import Database, DatabaseAway, Tx


def stop_model_servers(settings: Settings) -> int:
    """Tells every model server to finish what it is at and end; returns how many. A database that cannot be read stops none."""
    try:
        db = Database(settings.database_url)
        names = db.read_now(_launches)
        db.close()
    except (DatabaseAway, SQLAlchemyError):
        return 0
    return asyncio.run(_cancel(settings, names)) if names else 0


async def _cancel(settings: Settings, names: list[str]) -> int:
    executor = LocalExecutor(settings.layout.run / "launches")
    running = [name for name in names if (await executor.poll(name)).state == "running"]
    await asyncio.gather(*(executor.cancel(name) for name in running))
    executor.close()
    return len(running)


def _launches(tx: Tx) -> list[str]:
    names = []
    for row in resources.every(tx, DEPLOYMENTS):
        facts = facts_of(row)
        names += [launch_of(row.key, facts["generation"], instance) for instance in instances_of(facts)]
    return names
