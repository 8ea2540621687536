"""Runs: a plan executed, partition by partition."""
