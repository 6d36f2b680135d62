"""How the tables came to be, step by step. Run at start-up; an applied step is never edited."""
