"""Operation of a project: beginning one, looking after its runs, leaving it running."""
