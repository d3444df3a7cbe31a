"""A whole training step as one compiled call: see `program`, then `work_sharing` and `operations`."""
