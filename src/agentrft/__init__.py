"""agentrft: self-hosted reinforcement fine-tuning of agents that use tools behind HTTP endpoints."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrft.toolkit import Call, ToolError, grader, tool, tools_schema

__version__ = "0.1.0"
__all__ = ["Call", "ToolError", "grader", "tool", "tools_schema"]


def __getattr__(name: str) -> Any:
    """What `agentrft.toolkit` gives is loaded on first use: whoever imports another part should not pay for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import agentrft.toolkit  # here, for the reason above

    return getattr(agentrft.toolkit, name)
