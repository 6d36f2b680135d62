"""An agent that answers questions about annual reports in FinQA's format, trained through agentrft's API."""
