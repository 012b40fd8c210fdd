"""The heads that papers name, by model and class: what the found circuit is set against, and what nobody searched by.

The claims about these sets (data/claims/ioi_circuit.yaml) say where each is printed; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGE = "en"  # of the prompts that these heads were found on
HEADS: Mapping[str, Mapping[str, list[str]]] = {
    "gpt2": {
        "name_mover": ["9.9", "10.0", "9.6"],
        "negative_name_mover": ["10.7", "11.10"],
        "s_inhibition": ["7.3", "7.9", "8.6", "8.10"],
        "induction": ["5.5", "6.9", "5.8", "5.9"],
        "duplicate_token": ["0.1", "3.0", "0.10"],
        "previous_token": ["2.2", "4.11"],
        "backup_name_mover": ["9.0", "9.7", "10.1", "10.2", "10.6", "10.10", "11.2", "11.9"],
    },
    "gpt2-medium": {
        "name_mover": ["15.14", "16.15", "17.4", "18.5", "19.15"],
        "s_inhibition": ["12.3", "13.4", "13.13"],
        "induction": ["9.3"],
        "duplicate_token": ["6.4"],
        "negative_name_mover": ["19.1"],
    },
}


def sets(model: str, language: str) -> Mapping[str, list[str]]:
    """Heads by class, as "layer.head", where a paper names them for this very model; else none."""
    return HEADS.get(model, {}) if language == LANGUAGE else {}
