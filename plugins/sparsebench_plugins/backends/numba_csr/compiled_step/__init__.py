"""A whole training step as one compiled call: see `program`, `work_sharing` and `operations`."""
