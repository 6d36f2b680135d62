"""The worker: claims jobs, settles them, runs them on this machine's device, and serves models."""
