"""Compiled loops over connections. `sparsebench.core.sparse.reference` has readable twins.

Threads share no output: each works on one of `parts` ranges of rows (or of connections) and
writes only the output of that range. The values do not depend on the ranges, so the result is the
same bit for bit for any number of threads. The loops neither check nor allocate anything: the
caller, a module of `sparsebench.core.sparse`, does both.
"""
