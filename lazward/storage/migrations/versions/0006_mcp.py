"""The registry of MCP servers."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    from alembic import op

    from lazward.storage.genai_tables import MCP_TABLES

    for table in MCP_TABLES:
        table.create(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    raise RuntimeError("Go back to a backup made before the upgrade: what these tables hold would be lost.")
