"""Why a claim's own model has no evidence, and the command that would make it, if there is one that could work.

From the catalogue and params.yaml alone, so that every machine writes the same table.
"""

from pathlib import Path

from replications.catalogue.entries import ModelEntry, load_catalogue
from replications.claims.evidence import run_command
from replications.claims.schema import OWN_LANGUAGE, PRINTED, WEIGHTLESS
from replications.models import families
from replications.settings import ROOT, load_settings

WITH_DICTIONARIES = ("sae", "sae_features", "sae_steering")  # rooms that need an L1 coefficient for the model
ON_THE_ENGINE = ("ioi_circuit", "ioi_faithfulness", "rome_tracing", "rome_editing", *WITH_DICTIONARIES)  # decoders only
WITHOUT_ADAPTER = ("ioi", "rome")  # rooms that TransformerLens' helpers do for, where no adapter is for the family


def absence(room: str, model: str, root: Path = ROOT) -> str:
    """Why a room has no evidence for a model, in English, and what to run; what is missing where nothing could work."""
    if model in WEIGHTLESS:
        why = "the printed tables have not been audited" if model == PRINTED else "the toy has not been trained"
        return f"no evidence for {model}: {why}; run `{run_command(room, model, OWN_LANGUAGE)}`"
    entry = load_catalogue(root / "data" / "catalogue" / "models.yaml").get(model)
    if entry is None:
        missing = "it needs an entry in data/catalogue/models.yaml first, if its weights are public at all"
    else:
        missing = _obstacle(room, entry, root)
    if missing:
        return f"no evidence for {model}: {missing}"
    from_hub = entry is not None and all(source.kind == "hub" for source in entry.sources)
    why = "its weights come from the model hub" if from_hub else "it has not been measured"
    return f"no evidence for {model}: {why}; run `{run_command(room, model, OWN_LANGUAGE)}`"


def _obstacle(room: str, entry: ModelEntry, root: Path) -> str:
    """What this room would lack for the model, whatever the machine; empty when nothing is missing."""
    if room in ON_THE_ENGINE and entry.kind == "encoder":
        return f"it is an encoder, and {room} asks decoders"
    if room not in WITHOUT_ADAPTER and families.of_class(entry.architecture) is None:
        return f"{families.PLACE} has no {entry.architecture}, which {room} needs"
    if room in WITH_DICTIONARIES and entry.id not in _coefficients(root):
        return "section sae of params.yaml has no l1 for it"
    return ""


def _coefficients(root: Path) -> dict:
    section = load_settings(root).rooms.get("sae")
    found = section.get("l1") if isinstance(section, dict) else None
    return found if isinstance(found, dict) else {}
