"""Python functions as tools and graders: `@agentrft.tool`, `@agentrft.grader`, and what serves them over HTTP.

A user's own code imports this, so it stands alone: it knows the wire protocol and nothing else of the platform.
"""

from agentrft.toolkit.graders import GraderFunction, grader
from agentrft.toolkit.tools import Call, ToolError, ToolFunction, tool, tools_schema

__all__ = ["Call", "GraderFunction", "ToolError", "ToolFunction", "grader", "tool", "tools_schema"]
