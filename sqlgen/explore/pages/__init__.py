"""HTML pages that open from disk: templates, style, and the files that they are written to."""
