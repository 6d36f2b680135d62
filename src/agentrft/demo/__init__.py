"""The demo: a small language model learns to look figures up in company reports, through the public API alone.

Everything here is a user of the platform. It talks to the server over HTTP with the official SDK, so it is also the
longest working example of the API.
"""
