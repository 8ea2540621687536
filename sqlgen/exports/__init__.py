"""Books and trades as files of backtesting engines."""
