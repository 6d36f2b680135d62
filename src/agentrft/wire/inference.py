"""What the server asks of a worker that serves: one completion. Both sides use these types.

`POST {worker_url}/generate`, `Authorization: Bearer <the worker's token>`, body `GenerateRequest`, reply 200 with
`GenerateReply`. Anything else is OpenAI's error envelope with its status; a 4xx reaches the client as it is.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Message):
    """One tool call; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str


class ChatMessage(_Message):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = ""
    reasoning: str = ""  # assistant only
    tool_calls: list[Call] = Field(default_factory=list)  # assistant only
    call_id: str | None = None  # tool only: the call this answers
    name: str | None = None


class ToolDefinition(_Message):
    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)  # JSON schema


class GenerateRequest(_Message):
    model: str  # a name of the store: no alias
    messages: list[ChatMessage] = Field(min_length=1)
    tools: list[ToolDefinition] = Field(default_factory=list)
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    seed: int | None = None
    parallel_tool_calls: bool = True
    trace_id: str | None = None


class GenerateReply(_Message):
    text: str = ""
    reasoning: str = ""
    tool_calls: list[Call] = Field(default_factory=list)
    finish_reason: Literal["stop", "length", "tool_calls"]
    prompt_tokens: int
    output_tokens: int  # reasoning included
    reasoning_tokens: int = 0
