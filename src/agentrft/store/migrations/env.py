"""Runs the steps on the connection that `Database.migrate` holds, inside its transaction."""

from alembic import context

from agentrft.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
