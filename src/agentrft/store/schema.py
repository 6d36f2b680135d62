"""The tables. Migrations build them; this module is what queries are written against.

Only types that SQLite and PostgreSQL share. Times are unix seconds; `seq` columns give rows their order of arrival.
"""

import sqlalchemy as sa

metadata = sa.MetaData()
Json = sa.JSON(none_as_null=True)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("project_id", sa.String(64), sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("key_hash", sa.String(64), nullable=False, unique=True),  # SHA-256, hex; keys are 190 random bits
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), sa.ForeignKey("projects.id"), nullable=False, index=True),
    sa.Column("filename", sa.String(1024), nullable=False),
    sa.Column("purpose", sa.String(32), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("status_details", sa.Text),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), sa.ForeignKey("projects.id"), nullable=False, index=True),
    sa.Column("status", sa.String(32), nullable=False, index=True),
    sa.Column("method", sa.String(32), nullable=False),
    sa.Column("model", sa.String(255), nullable=False),  # as the caller named it
    sa.Column("base_model", sa.String(255), nullable=False),  # what it resolved to
    sa.Column("training_file", sa.String(64), nullable=False),
    sa.Column("validation_file", sa.String(64)),
    sa.Column("suffix", sa.String(64)),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("request", Json, nullable=False),  # secrets masked
    sa.Column("sealed_request", sa.LargeBinary, nullable=False),  # the same with its secrets, encrypted
    sa.Column("metadata", Json),
    sa.Column("hyperparameters", Json),  # settled by the worker
    sa.Column("progress", Json),
    sa.Column("error", Json),
    sa.Column("usage", Json),
    sa.Column("trained_tokens", sa.BigInteger),
    sa.Column("result_files", Json, nullable=False),
    sa.Column("fine_tuned_model", sa.String(255)),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("estimated_finish", sa.BigInteger),
    sa.Column("worker_id", sa.String(64)),
    sa.Column("claims", sa.Integer, nullable=False, default=0),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("project_id", "idempotency_key", name="uq_jobs_idempotency"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("level", sa.String(8), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("data", Json),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("step_number", sa.Integer, nullable=False),
    sa.Column("model_name", sa.String(255), nullable=False),
    sa.Column("path", sa.String(4096), nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.UniqueConstraint("job_id", "step_number", name="uq_checkpoints_step"),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("project_id", sa.String(64), sa.ForeignKey("projects.id"), nullable=False, index=True),
    sa.Column("base", sa.String(255), nullable=False),  # the base model that the first job of its line began with
    sa.Column("base_source", sa.String(4096), nullable=False),
    sa.Column("source", sa.String(4096), nullable=False),
    sa.Column("job_id", sa.String(64), sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("step_number", sa.Integer),  # null: the final model
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("url", sa.String(1024)),  # null: it serves no inference
    sa.Column("sealed_token", sa.LargeBinary),
    sa.Column("device", sa.String(255), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_at", sa.Float, nullable=False),
)
