import pytest
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

from agentrft.domain.episode import ToolCall
from agentrft.tools.mcp.results import show_result

CALL = ToolCall(call_id="call_1", name="look", arguments="{}")


def shown(*content: ContentBlock, **fields: object) -> str:
    result = CallToolResult.model_validate({"content": list(content), **fields})
    return show_result(CALL, result, latency_s=0.5).output


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (TextContent(text="plain"), "plain"),
        (ImageContent(data="AAAA", mime_type="image/png"), "[image image/png, 3 bytes]"),
        (AudioContent(data="AAA=", mime_type="audio/wav"), "[audio audio/wav, 2 bytes]"),
        (ResourceLink(name="log", uri="file:///log"), "[resource log at file:///log]"),
        (
            ResourceLink(name="log", uri="file:///log", description="the log"),
            "[resource log at file:///log: the log]",
        ),
        (EmbeddedResource(resource=TextResourceContents(uri="a://b", text="inside")), "[resource a://b]\ninside"),
        (EmbeddedResource(resource=BlobResourceContents(uri="a://b", blob="AA==")), "[resource a://b binary, 1 bytes]"),
    ],
)
def test_content_of_every_kind_becomes_text(block: ContentBlock, text: str) -> None:
    assert shown(TextContent(text="first"), block) == f"first\n{text}"


def test_structured_content_is_shown_where_there_is_no_other() -> None:
    assert shown(structured_content={"é": [1]}) == '{"é": [1]}'
    assert shown(TextContent(text="text"), structured_content={"a": 1}) == "text"
    assert shown() == ""


def test_an_error_without_details_says_so() -> None:
    assert shown(is_error=True) == "Error: look failed and gave no details"
