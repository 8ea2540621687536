"""Model tests in YAML: input rows and expected rows."""
