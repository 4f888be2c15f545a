"""Traces, their spans, assessments and links."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    from alembic import op

    from lazward.storage import tables

    # As they are in tables.py: what a later migration adds to them it must add only where it is missing.
    for table in (tables.trace, tables.span, tables.assessment, tables.trace_link):
        table.create(op.get_bind(), checkfirst=True)


def downgrade() -> None:
    from alembic import op

    for name in ("trace_link", "assessment", "span", "trace"):
        op.drop_table(name)
