"""agentrft: self-hosted reinforcement fine-tuning of agents that use tools behind HTTP endpoints."""

__version__ = "0.1.0"
