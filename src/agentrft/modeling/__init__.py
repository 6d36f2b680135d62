"""The torch forward pass and the weights that sampler and trainer share."""
