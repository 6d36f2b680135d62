"""Requests to the user's endpoints: bounded, retried under one deadline, never redirected, never leaking a secret."""
