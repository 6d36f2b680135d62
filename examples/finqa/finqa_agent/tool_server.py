"""The example's tool server.

    python -m finqa_agent.tool_server --port 9000 --data FOLDER --cache FOLDER

The bearer token comes in the environment. The pages are embedded at the first start, which takes minutes, and cached.
"""

import argparse
import os
from pathlib import Path

from agentrft.demo.tool_server import TOKEN_VARIABLE, serve, tool_app
from finqa_agent.embedding import Embedder, embed_once
from finqa_agent.pages import read_pages
from finqa_agent.passages import cut
from finqa_agent.tools import PageTools


def build_tools(data: Path, cache: Path) -> PageTools:
    """The tools over all pages of a folder."""
    pages = read_pages(data)
    passages = cut(pages)
    embedder = Embedder()
    vectors = embed_once(embedder, [passage.text for passage in passages], cache)
    return PageTools(pages, passages, vectors, lambda query: embedder.embed([query])[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve search, list and cat over FinQA-format pages.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args()
    tools = build_tools(given.data, given.cache)
    functions = {"search": tools.search, "list": tools.list, "cat": tools.cat}
    serve(tool_app(functions, token=os.environ[TOKEN_VARIABLE]), given.port)


if __name__ == "__main__":
    main()
