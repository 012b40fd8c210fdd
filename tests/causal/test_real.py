"""On trained weights, where residual streams reach thousands, a few cells of each kind agree too."""

import pytest
import torch
from causal import oracle

pytestmark = pytest.mark.model


@pytest.mark.filterwarnings("default")  # what a download may warn about is not this test's business
def test_cells_of_a_real_model_equal_a_hook_loop():
    from replications.causal import metrics
    from replications.causal.cells import grid
    from replications.causal.patch import patch
    from replications.causal.runs import run
    from replications.causal.stack import Stack
    from replications.models.load import encode, load_model

    loaded = load_model("smollm2-135m")
    clean, corrupted = encode(loaded, ["The capital of France is", "The capital of Italy is"])
    paris, rome = (loaded.tokenizer(city, add_special_tokens=False)["input_ids"][0] for city in (" Paris", " Rome"))
    stack, columns = Stack(loaded.hf_model), torch.tensor([3, 4])
    sites = ("resid_pre", "resid_mid", "attn_out", "mlp_out", "z")
    base = run(stack, torch.tensor([corrupted]))
    source = run(stack, torch.tensor([clean]), sites=sites[1:])
    for site in sites:
        layers, head = [(2, 5), (28, 29)] if site in ("attn_out", "mlp_out") else [(14, 15), (29, 30)], 4
        heads = {"heads": [head]} if site == "z" else {}
        cells = grid(site, layers, columns, torch.arange(1), **heads)
        ours = patch(stack, base, source, cells, metrics.logit_diff(torch.tensor([[paris, rome]])))
        slow = [(site, range(*some), column, head if site == "z" else None) for some in layers for column in (3, 4)]
        theirs = oracle.hook_loop(loaded.bridge, corrupted, clean, slow, oracle.diff_at((paris, rome)))
        torch.testing.assert_close(
            ours, theirs.flatten(), atol=oracle.TOLERANCE, rtol=0, msg=lambda m, s=site: f"{s}: {m}"
        )
