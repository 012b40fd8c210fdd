"""Texts that experiments are made of: each language's templates and names, facts, and where words lie in tokens.

For others: `language` (data/stimuli), `facts` and `published_facts` (data/facts and papers' own), `fact_table` (the
file they stand in), `spans` (characters to tokens), `plain_text` (what a name may look like).
"""
