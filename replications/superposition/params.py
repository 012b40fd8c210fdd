"""Section `superposition` of params.yaml."""

from replications.params import Count, Positive, Section, Several
from replications.records import Record


class Sampled(Record):
    """A training on samples: steps, rate of its first half, inputs per step."""

    steps: Count
    lr: Positive
    batch: Count


class Exact(Record):
    """A training on the exact loss: steps, rate of its first half, nodes of the quadrature."""

    steps: Count
    lr: Positive
    nodes: Count


class Params(Section):
    """Recipes, seeds and grids of the four experiments; a grid has two ends, and one model of a cell is left out."""

    sweep: Sampled
    sweep_seeds: Count
    plane: Sampled
    restarts: Count
    plateaus: Sampled
    plateau_densities: Several
    plateau_seeds: Count
    phases: Exact
    phase_cells: Several
    phase_models: Several
