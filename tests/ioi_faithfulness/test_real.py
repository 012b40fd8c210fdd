"""On trained weights, where residual streams reach thousands, a circuit equals a hook loop too."""

import pytest
import torch

from replications.ioi_faithfulness import experiments
from replications.ioi_faithfulness.circuits import Circuit

pytestmark = pytest.mark.model


@pytest.mark.filterwarnings("default")  # what a download may warn about is not this test's business
def test_a_circuit_of_a_real_model_equals_a_hook_loop():
    from replications.causal.stack import Stack
    from replications.ioi_circuit import stimuli
    from replications.models.load import encoder, load_model
    from replications.stimuli.language import load_stimuli

    loaded, text = load_model("smollm2-135m"), load_stimuli("en")
    made = stimuli.build(text.ioi, encoder(loaded), prefix=text.answer_prefix, n=2, seed=1).prompts
    circuit = Circuit({"name_mover": ((22, 1), (25, 4)), "s_inhibition": ((18, 3),), "induction": ((12, 2),)})
    setup = experiments.prepare(Stack(loaded.hf_model), made, made, "cpu")
    resampled = setup.resampled
    ours = resampled.read(resampled.only(circuit.nodes))
    for prompt, value in zip(made, ours, strict=True):
        at = {"END": len(prompt.ids) - 1, "S2": prompt.s2_at}
        kept = {(layer, head, at[role]) for layer, head, role in circuit.nodes}
        with torch.inference_mode():
            _, twin = loaded.bridge.run_with_cache(torch.tensor([prompt.abc_ids]))

            def replace(z, hook, kept=kept, twin=twin):
                out, layer = twin[hook.name].clone(), int(hook.name.split(".")[1])
                for _, head, where in (node for node in kept if node[0] == layer):
                    out[0, where, head] = z[0, where, head]
                return out

            hooks = [(f"blocks.{layer}.attn.hook_z", replace) for layer in range(30)]
            last = loaded.bridge.run_with_hooks(torch.tensor([prompt.ids]), fwd_hooks=hooks)[0, -1]
        assert value == pytest.approx((last[prompt.io_id] - last[prompt.s_id]).item(), abs=1e-3)
