"""Execution of batches by the workers of a Ray cluster: these build, the run itself plans, publishes and records."""
