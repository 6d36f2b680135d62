"""The embedded engine's trainer: the objective, the packed tree, the optimizer."""
