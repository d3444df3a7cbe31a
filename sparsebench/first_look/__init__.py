"""`sparsebench try`: a small comparison of sparse and dense networks on a user's own file."""
