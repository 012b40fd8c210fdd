"""Section `ioi` of params.yaml."""

from replications.params import Count, CountOrAll, Section


class Params(Section):
    """Prompts of the grammar, and on how many of them maps are made (null: all)."""

    n_prompts: Count
    n_patched: CountOrAll
