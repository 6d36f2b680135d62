"""Search, list and cat over pages of annual reports."""

from collections.abc import Callable, Sequence

import numpy as np

from agentrft.demo.toolbox import function_schema
from finqa_agent.pages import Page
from finqa_agent.passages import Passage, Vectors

RESULTS = 5
SNIPPET_CHARACTERS = 160
NOT_FOUND = "not found"

SYSTEM_PROMPT = "Answer the question about annual reports. Find the page with the tools; reply with the number only."
TOOL_SCHEMAS = (
    function_schema("search", "Find pages by meaning", argument="query"),
    function_schema("list", "List a folder, as / or AAL or AAL/2014", argument="path"),
    function_schema("cat", "Read a page, as AAL/2014/page_18", argument="path"),
)
TOOL_NAMES = tuple(schema["function"]["name"] for schema in TOOL_SCHEMAS)


class PageTools:
    """The three tools. A page can be long: what the model sees of it is cut by the platform, to the job's token budget.

    Args:
        embed: turns a query into a unit vector, as `vectors` were made of the passages, one row each.
    """

    def __init__(
        self, pages: Sequence[Page], passages: Sequence[Passage], vectors: Vectors, embed: Callable[[str], Vectors]
    ) -> None:
        self._pages = {page.path: page for page in pages}
        self._passages = passages
        self._vectors = vectors
        self._embed = embed

    def search(self, query: str) -> str:
        """The best pages by their best passage, each with the start of it."""
        order = np.argsort(-(self._vectors @ self._embed(query)))
        best: dict[str, str] = {}
        for place in order:
            passage = self._passages[int(place)]
            best.setdefault(passage.path, passage.text)
            if len(best) == RESULTS:
                break
        return "\n".join(f"{path}: {text[:SNIPPET_CHARACTERS]}" for path, text in best.items())

    def list(self, path: str = "/") -> str:
        folder = path.strip("/. ")
        prefix = f"{folder}/" if folder else ""
        below = {page[len(prefix) :].split("/")[0] for page in self._pages if page.startswith(prefix)}
        return " ".join(sorted(below)) or NOT_FOUND

    def cat(self, path: str) -> str:
        page = self._pages.get(path.strip("/ "))
        return page.text if page else NOT_FOUND
