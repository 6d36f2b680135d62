"""OpenAI's routes, in OpenAI's shapes."""
