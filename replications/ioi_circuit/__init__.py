"""The circuit for indirect object identification: which heads write the answer, through which other heads."""
