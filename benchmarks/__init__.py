"""Speed and memory as ratios against baselines of the same run: ``python -m benchmarks``."""
