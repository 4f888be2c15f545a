"""Long curves have sketches, which charts are made from. Curves that are there get theirs as values come."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    import sqlalchemy as sa
    from alembic import op

    from lazward.storage.tables import metadata

    metadata.tables["metric_sketch"].create(op.get_bind(), checkfirst=True)
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("latest_metric")}
    for name, default in (("sketched", "-1"), ("tail", "0")):
        if name not in there:
            op.add_column("latest_metric", sa.Column(name, sa.BigInteger, nullable=False, server_default=default))


def downgrade() -> None:
    raise RuntimeError("Go back to a backup made before the upgrade.")
