"""Maintenance of the lake: tables and sources in other files, edited rows, earlier versions."""
