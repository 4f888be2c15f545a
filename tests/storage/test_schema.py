from pathlib import Path

import sqlalchemy as sa

from lazward.storage import metric_history, metrics, schema, tables, tasks
from lazward.storage.db import Database
from tests.storage.tracking_data import KEY, make_run, make_workspaces, value


def test_the_head_is_the_newest_migration():
    names = sorted(path.stem for path in Path(schema.__file__).parent.joinpath("migrations", "versions").glob("[0-9]*.py"))
    assert names[-1].split("_")[0] == schema.HEAD


class TestUpgrade:
    def test_of_a_fresh_database_makes_everything_once(self, database_url, clock):
        db = Database(database_url)
        schema.upgrade(db)
        schema.upgrade(db)
        assert schema.is_current(db)
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        db.close()

    def test_of_one_made_before_tasks_could_be_asked_for_again(self, database_url, clock):
        db = Database(database_url)
        schema.upgrade(db)
        task_id = db.write_now(tasks.enqueue, "k", "s", {"phase": "x"}, clock())
        db.write_now(lambda tx: (tx.execute(sa.text("alter table task drop column again")), tx.execute(sa.text("update alembic_version set version_num = '0001'"))))
        assert not schema.is_current(db)
        schema.upgrade(db)
        assert schema.is_current(db)
        (held,) = db.write_now(tasks.claim, "w", 1, clock(), 30)
        assert (held.id, held.state) == (task_id, {"phase": "x"})
        db.write_now(tasks.enqueue, "k", "s", {}, clock())
        assert db.write_now(tasks.finish, held, "Succeeded", clock()) == "InProgress"
        db.close()

    def test_of_one_made_before_long_curves_had_sketches(self, database_url, clock):
        db = Database(database_url)
        schema.upgrade(db)
        make_workspaces(db)
        make_run(db, "r1")
        db.write_now(metrics.log, KEY, "r1", [value("m", 1.0)])

        def old(tx) -> None:
            for statement in ("alter table latest_metric drop column tail", "alter table latest_metric drop column sketched", "drop table metric_sketch", "update alembic_version set version_num = '0002'"):
                tx.execute(sa.text(statement))

        db.write_now(old)
        db.close()
        db = Database(database_url)
        schema.upgrade(db)
        assert schema.is_current(db)
        db.write_now(metrics.log, KEY, "r1", [value("m", 2.0, step=1)])
        assert [p.value for p in db.read_now(metric_history.sampled, KEY, ["r1"], "m", 10, None, None)] == [1.0, 2.0]
        db.close()

    def test_of_one_made_before_traces(self, database_url):
        db = Database(database_url)
        schema.upgrade(db)
        made = (tables.trace, tables.span, tables.assessment, tables.trace_link)

        def older(tx):
            for table in made:
                tx.execute(sa.schema.DropTable(table))
            tx.execute(sa.text("update alembic_version set version_num = '0003'"))

        db.write_now(older)
        schema.upgrade(db)
        assert schema.is_current(db)
        there = sa.inspect(db.engine)
        for table in made:
            assert {i["name"] for i in there.get_indexes(table.name)} == {i.name for i in table.indexes}
            assert {c["name"] for c in there.get_columns(table.name)} == {c.name for c in table.columns}
        db.close()
