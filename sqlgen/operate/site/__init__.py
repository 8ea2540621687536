"""Pages that document a project, as one folder that opens from disk."""
