"""Training files: JSONL rows in, items and demonstrations out, every error naming its example."""

from agentrft.datasets.coverage import check_tools
from agentrft.datasets.demonstrations import Demonstration, load_demonstrations
from agentrft.datasets.items import load_items
from agentrft.datasets.offers import offer_tools
from agentrft.datasets.order import ItemOrder
from agentrft.datasets.rows import count_rows

__all__ = [
    "Demonstration",
    "ItemOrder",
    "check_tools",
    "count_rows",
    "load_demonstrations",
    "load_items",
    "offer_tools",
]
