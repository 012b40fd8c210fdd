"""Section `ioi_faithfulness` of params.yaml."""

from replications.params import Count, Section


class Params(Section):
    """Prompts, and how many circuits and sets are drawn or searched."""

    n_prompts: Count
    n_means: Count
    n_adversarial: Count
    random_circuits: Count
    random_sets: Count
    greedy_runs: Count
    greedy_steps: Count
    greedy_candidates: Count
