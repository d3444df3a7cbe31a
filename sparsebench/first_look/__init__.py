"""`sparsebench try`: a small comparison of sparse and dense on somebody's own file."""
