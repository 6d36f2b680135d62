"""Our own routes: what OpenAI's API has no place for, and the page that shows it."""
