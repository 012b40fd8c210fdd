"""Section `rome_editing` of params.yaml."""

from typing import Annotated

from pydantic import Field

from replications.params import Count, Section, Several, should_be

ContextSize = Annotated[list[Count], Field(min_length=2, max_length=2), should_be("a pair: tokens, number of texts")]
Layer = Annotated[int, Field(ge=1, le=28), should_be("a layer of GPT-J, from 1 to 28")]


class Params(Section):
    """Facts edited, texts in front of a prompt, the tokens of the second moments and the layers compared."""

    n_facts: Count
    n_control: Count
    n_layers_facts: Count
    n_counterfact: Count
    neighbours: Count
    contexts: list[ContextSize]
    moment_tokens: Annotated[int, Field(ge=128), should_be("a whole number ≥ 128, one window of `moments`")]
    text_windows: Count
    text_width: Several
    hase_layers: Annotated[list[Layer], Field(min_length=1)]
    batch: Count
