"""Compiled loops over connections. Twins to be read are in `sparsebench.core.sparse.reference`.

Threads share no output: each works on one of `parts` ranges of rows (or of connections) and
writes only what belongs to them. What is written depends on no range, so the result is the
same bit for bit for any number of threads. No checks and no allocation inside: the caller,
a module of `sparsebench.core.sparse`, does both.
"""
