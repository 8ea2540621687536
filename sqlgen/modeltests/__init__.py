"""Tests of models in YAML: given rows, expected rows."""
