"""The nouns of an Agent RFT job. Standard library only: everything else may import this, it imports nothing."""
