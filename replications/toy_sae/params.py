"""Section `toy_sae` of params.yaml."""

from pydantic import model_validator

from replications.params import Count, Exponent, Positive, Section
from replications.records import Record


class Recipe(Record):
    """As `training.Recipe`."""

    steps: Count
    batch: Count
    lr: Positive


class Params(Section):
    """The grid of L1 coefficients and sizes, both by exponent, and the recipe."""

    alpha_low: Exponent
    alpha_high: Exponent
    alpha_step: Count
    ratio_low: Exponent
    ratio_high: Exponent
    recipe: Recipe
    article_toys: Count

    @model_validator(mode="after")
    def _ranges_go_up(self) -> "Params":
        for name, low, high in (("alpha", self.alpha_low, self.alpha_high), ("ratio", self.ratio_low, self.ratio_high)):
            if low > high:
                raise ValueError(f"{name}_low ({low}) should not be above {name}_high ({high})")
        return self
