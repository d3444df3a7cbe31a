"""Files that predict with one trained network and need no library: Python's own, or C's."""
