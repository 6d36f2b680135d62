"""The heart: explore with tools, grade, give credit, move the weights. The world is behind `agentrft.ports`."""
