"""Commands that look at a project: lineage, plots, pages."""
