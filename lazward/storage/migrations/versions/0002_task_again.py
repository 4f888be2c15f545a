"""Tasks remember that they were asked for again while they were worked on."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    import sqlalchemy as sa
    from alembic import op

    from lazward.storage.tables import Json

    op.add_column("task", sa.Column("again", Json))


def downgrade() -> None:
    raise RuntimeError("Go back to a backup made before the upgrade: a task that is to run again would be forgotten.")
