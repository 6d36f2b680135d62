"""The embedded engine's sampler: continuous batching on CPU threads or one GPU, keys and values kept across tool calls."""
