"""States of words at every layer of a model, and what the probing rooms and the audit say about a layer series."""
