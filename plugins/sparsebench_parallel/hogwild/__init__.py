"""Training by workers of one machine that share values and optimizer state without locks."""
