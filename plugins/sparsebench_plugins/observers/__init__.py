"""Observers: numbers about a network while it trains."""
