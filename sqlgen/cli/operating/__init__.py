"""Commands that begin a project and look after it."""
