"""The embedded engine's sampler: continuous batching, keys and values kept across tool calls."""
