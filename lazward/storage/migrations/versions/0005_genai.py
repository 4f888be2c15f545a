"""Evaluation datasets, scorers, label schemas, review queues, issues and webhooks."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    from alembic import op

    from lazward.storage.genai_tables import TABLES

    for table in TABLES:
        table.create(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    raise RuntimeError("Go back to a backup made before the upgrade: what these tables hold would be lost.")
