"""Section `rome_tracing` of params.yaml."""

from replications.params import Count, CountOrAll, Section, Switch


class Params(Section):
    """Facts asked and traced, pairs, draws of noise, and where windows are centred."""

    n_asked: CountOrAll
    n_facts: Count
    n_pairs: CountOrAll
    n_control: Count
    n_samples: Count
    n_control_samples: Count
    n_layers: CountOrAll
    every_column: Switch
