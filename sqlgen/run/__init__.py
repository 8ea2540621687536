"""Runs: execution of a plan, partition by partition."""
