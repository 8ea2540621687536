"""Building of units: inputs staged, rows copied, checked and published."""
