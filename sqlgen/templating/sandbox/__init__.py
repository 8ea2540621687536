"""Sandbox of the templates."""
