"""JSON as it travels: what clients and workers send, read strictly; what they get, in OpenAI's shapes.

No row, no file, no socket: these modules turn mappings into types and back.
"""
