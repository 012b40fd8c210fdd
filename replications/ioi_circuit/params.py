"""Section `ioi_circuit` of params.yaml."""

from replications.params import Count, Section


class Params(Section):
    """Prompts of each experiment, names and sequences."""

    n_prompts: Count
    n_control: Count
    n_prefixed: Count
    n_first: Count
    n_patched: Count
    n_first_through: Count
    n_patched_through: Count
    n_names: Count
    n_repeats: Count
