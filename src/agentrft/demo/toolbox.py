"""The three tools of the demo as plain functions, and the schemas that the model is shown."""

from collections.abc import Mapping
from typing import Any

from agentrft.demo.corpus import Corpus
from agentrft.demo.search import KeywordIndex

NOT_FOUND = "not found"
SHOWN_FOLDERS = 6

Schema = Mapping[str, Any]


class ReportTools:
    """`search`, `list` and `cat` over the reports. Replies are terse, since the model reads every token of them.

    A wrong path or argument is the agent's own mistake, so the reply says so and is no exception.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._reports = corpus.reports
        self._folders = sorted({report.folder for report in corpus.reports.values()})
        self._index = KeywordIndex({path: report.text for path, report in corpus.reports.items()})

    def search(self, query: str) -> str:
        return "\n".join(self._index.search(query)) or "no results"

    def list(self, path: str = "") -> str:
        folder = path.strip("/. ")
        if not folder:
            return f"{' '.join(self._folders[:SHOWN_FOLDERS])} ... ({len(self._folders)} folders)"
        years = [report.path.split("/")[1] for report in self._reports.values() if report.folder == folder]
        return " ".join(years) or NOT_FOUND

    def cat(self, path: str) -> str:
        report = self._reports.get(path.strip("/ "))
        return report.text if report else NOT_FOUND


def function_schema(name: str, description: str, *, argument: str, meaning: str = "") -> dict[str, Any]:
    """A tool with one text argument, in Chat-Completions form as data sets hold it."""
    described = {"type": "string", "description": meaning} if meaning else {"type": "string"}
    parameters = {"type": "object", "properties": {argument: described}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


SYSTEM_PROMPT = "Answer the question about company reports. Reply with a tool call or with the number only."
TOOL_SCHEMAS: tuple[Schema, ...] = (
    function_schema("search", "Find reports", argument="query"),
    function_schema("list", "List a folder", argument="path"),
    function_schema("cat", "Read a report", argument="path"),
)
TOOL_NAMES: tuple[str, ...] = tuple(schema["function"]["name"] for schema in TOOL_SCHEMAS)
