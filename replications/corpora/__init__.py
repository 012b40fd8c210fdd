"""Annotated text in one normal form: sentences of words, and labelled spans of words to probe for."""
