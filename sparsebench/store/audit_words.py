"""The words of a record's `audit`: claims and verdicts."""

TRULY_SPARSE, SIMULATED = "truly sparse", "simulated"
UNKNOWN = "unknown"
"""The third claim: the backend does not say."""

CONTRADICTED, CANNOT_TELL = "contradicted", "cannot tell"
"""The third and fourth verdict."""
