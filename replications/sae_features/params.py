"""Section `sae_features` of params.yaml."""

from replications.params import Count, Section


class Params(Section):
    """Windows of text, the activations of a unit that are looked at, and the cards that nobody chose."""

    select_windows: Count
    test_windows: Count
    top: Count
    random_cards: Count
