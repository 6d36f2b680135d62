"""What outlives a process: rows in SQL and bytes under one data directory.

Server and worker meet here and nowhere else, so either may die and the other goes on.
"""

from agentrft.store.opening import Store, open_store
from agentrft.store.settings import Settings

__all__ = ["Settings", "Store", "open_store"]
