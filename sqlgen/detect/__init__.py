"""Detection of the format, layout and adapter of files that no models.yaml describes."""
