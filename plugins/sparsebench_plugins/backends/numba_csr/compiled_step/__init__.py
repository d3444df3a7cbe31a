"""A whole training step as one compiled call: see `program`, then `driver` and `operations`."""
