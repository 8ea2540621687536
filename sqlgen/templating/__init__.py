"""SQL templates: their Jinja environment and headers, quoting, YAML with lines."""
