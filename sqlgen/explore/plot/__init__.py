"""Plots of one symbol of a source or model: an interactive page, or a picture."""
