"""What an MCP tool returned, as the text that the model is shown."""

import json

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agentrft.domain.episode import ToolCall, ToolResult
from agentrft.outbound.transport import MAX_REPLY_BYTES

OK, FAILED, TOO_LARGE = 200, 400, 413


def show_result(call: ToolCall, result: CallToolResult, *, latency_s: float) -> ToolResult:
    """The result of `call`. What the tool calls an error is the policy's to read and to do better."""
    output, status = _render(result), FAILED if result.is_error else OK
    if result.is_error and not output:
        output = f"Error: {call.name} failed and gave no details"
    if len(output.encode("utf-8", errors="replace")) > MAX_REPLY_BYTES:
        output, status = f"Error 413: the reply of {call.name} is larger than 1 MB; ask for less", TOO_LARGE
    return ToolResult(
        call_id=call.call_id,
        name=call.name,
        output=output,
        latency_s=latency_s,
        status=status,
        is_error=status != OK,
    )


def error_result(text: str) -> CallToolResult:
    """A refusal of the arguments, in the form in which tools report their errors."""
    return CallToolResult(content=[TextContent(text=f"Error: {text}")], is_error=True)


def _render(result: CallToolResult) -> str:
    if not result.content and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(_describe(block) for block in result.content)


def _describe(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type} {block.mime_type}, {_decoded_bytes(block.data)} bytes]"
        case ResourceLink():
            about = f": {block.description}" if block.description else ""
            return f"[resource {block.name} at {block.uri}{about}]"
        case EmbeddedResource():
            return _describe_resource(block.resource)


def _describe_resource(resource: TextResourceContents | BlobResourceContents) -> str:
    if isinstance(resource, TextResourceContents):
        return f"[resource {resource.uri}]\n{resource.text}"
    return f"[resource {resource.uri} {resource.mime_type or 'binary'}, {_decoded_bytes(resource.blob)} bytes]"


def _decoded_bytes(base64_text: str) -> int:
    return len(base64_text) * 3 // 4 - base64_text[-2:].count("=")
