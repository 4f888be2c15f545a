"""Alembic's entry: runs on the connection that schema.upgrade() gives it."""

from alembic import context

from lazward.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
