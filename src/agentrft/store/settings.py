"""How this installation is set up. Read from the environment (`AGENTRFT_*`), never from a request."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_DATA_DIR = Path("~/.local/share/agentrft")
BYTES_PER_MEGABYTE = 1_000_000


class JudgeSettings(BaseModel):
    """A judge model for graders, behind any server that speaks OpenAI's Chat Completions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://[^\s/]+\S*$")  # up to and with `/v1`
    key_variable: str | None = Field(default=None, min_length=1)  # the environment variable that holds its key
    model: str | None = Field(default=None, min_length=1)  # what that server calls it, where graders say otherwise
    structured_output: bool = True  # whether it takes `response_format` with a JSON schema
    max_concurrency: int = Field(default=16, ge=1)  # requests at once, of one job
    timeout_s: float = Field(default=120.0, gt=0)  # for one request


class Settings(BaseSettings):
    """One installation. Every value has a default that works on one machine."""

    model_config = SettingsConfigDict(env_prefix="AGENTRFT_", extra="forbid", frozen=True)

    data_dir: Path = Field(default=DEFAULT_DATA_DIR, validate_default=True)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: SecretStr | None = None  # SQLAlchemy URL of an async driver; default: SQLite in data_dir
    models_dir: Path | None = None  # each sub-folder with a config.json is a base model
    aliases: dict[str, str] = Field(default_factory=dict)  # name that clients use -> name of a model of ours
    api_key: SecretStr | None = None  # a key to accept besides those made here
    judges: dict[str, JudgeSettings] = Field(default_factory=dict)  # name that graders use -> where it answers
    openai_api_key: SecretStr | None = None  # OpenAI's own, for judges there; clients may hold a key of ours in theirs
    server_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+\S*$")  # where workers reach the server
    organization: str = Field(default="local", pattern=r"^[A-Za-z0-9_.-]{1,64}$")  # its part of `ft:` names
    max_file_bytes: int = Field(default=512 * BYTES_PER_MEGABYTE, gt=0)
    min_rows: int = Field(default=1, ge=1)  # of a training or validation file
    max_train_rows: int = Field(default=50_000, ge=1)
    max_validation_rows: int = Field(default=1_000, ge=1)
    worker_timeout_s: float = Field(default=30.0, gt=0)  # a worker silent for longer counts as dead
    generate_timeout_s: float = Field(default=600.0, gt=0)  # for one completion, queueing included
    allow_mcp_stdio: bool = False  # whether jobs may have the worker start MCP servers: any command, as its user

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path is not None else None

    @model_validator(mode="after")
    def _aliases_lead_somewhere(self) -> Self:
        loops = [name for name, target in self.aliases.items() if target in self.aliases]
        if loops:
            raise ValueError(f"AGENTRFT_ALIASES: {loops[0]!r} points to another alias; point it to a model")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data_dir / 'agentrft.db'}"
