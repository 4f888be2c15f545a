"""The first schema. Revision 0001; made by schema.upgrade() from tables.py when a database is fresh."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    from alembic import op

    from lazward.storage.tables import metadata

    metadata.create_all(op.get_bind())


def downgrade() -> None:
    raise RuntimeError("There is nothing before the first schema.")
