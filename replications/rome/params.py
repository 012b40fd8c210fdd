"""Section `rome` of params.yaml."""

from replications.params import CountOrAll, Section


class Params(Section):
    """On how many pairs maps are made (null: all)."""

    n_patched: CountOrAll
