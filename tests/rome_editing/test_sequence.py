"""Edits one after another in one weight."""

import numpy as np
import pytest
import torch
from rome_editing import oracle

from replications.evidence import stats
from replications.models.families import projection
from replications.rome_editing import sequence
from replications.rome_editing.editing import Editor
from replications.rome_editing.edits import directions
from replications.rome_editing.evaluate import RunningText, Sheet
from replications.rome_editing.hparams import HParams
from replications.rome_editing.moments import second_moments
from replications.rome_editing.packed import open_model
from replications.rome_editing.rows import merged
from replications.rome_editing.sequence import Point
from replications.rome_editing.stimuli import Task
from replications.rome_editing.values import Search

LAYER = 1
WINDOWS = torch.randint(3, 61, (40, 16), generator=torch.Generator().manual_seed(1))


def tasks(n):
    """Tasks that are scored on their rewrite prompt, for o* and for token 7."""
    made = []
    for fact in oracle.facts(n, 2):
        row = fact.contexts[0]
        rows, picks = merged([(row.ids[: row.asked[0] + 1], answer) for answer in (fact.target, (7,))])
        made.append(Task(None, fact, tuple(rows), (("rewrite", *picks),)))
    return made


@pytest.fixture(scope="module")
def setting():
    model = oracle.hf_model("llama")
    net, some = open_model(model), tasks(3)
    values = Search(net, [task.rewrite for task in some], [LAYER], HParams(relative=True, steps=4)).find(LAYER)
    u = directions(second_moments(model, WINDOWS, [LAYER])[LAYER], values.mean_key)
    return model, net, some, values, u


def test_the_weight_is_there_again_and_every_edit_holds_what_it_wrote(setting):
    model, net, some, values, u = setting
    module, seen = projection(model, LAYER), []
    before = module.weight.detach().clone()
    sheet, text = Sheet(net, some, LAYER), RunningText(net, WINDOWS[:2].tolist(), LAYER)
    key = sequence.key_of(values, "r_rome")
    watch = sheet.answers_now
    object.__setattr__(sheet, "answers_now", lambda: seen.append(module(key).detach()) or watch())
    points = sequence.in_sequence(module, u, values, "r_rome", sheet, text)
    assert torch.equal(module.weight, before)
    assert [p.edits for p in points] == [1, 2, 3]
    for point, now in zip(points, seen, strict=True):  # the newest edit is exact, whatever came before it
        torch.testing.assert_close(now[point.edits - 1], values.target[point.edits - 1], atol=1e-4, rtol=1e-4)
    assert [len(p.es) for p in points] == [1, 2, 3]
    assert all(p.norm > 0 for p in points)


def test_the_first_edit_of_a_sequence_is_the_edit_alone(setting):
    model, net, some, values, u = setting
    editor = Editor(net, second_moments(model, WINDOWS, [LAYER]), HParams(relative=True), None, "", 2, 0)
    text = RunningText(net, WINDOWS[:2].tolist(), LAYER)
    for variant in ("rome", "r_rome"):
        points = sequence.in_sequence(projection(model, LAYER), u, values, variant, Sheet(net, some, LAYER), text)
        alone = editor.update(LAYER, values, variant)
        np.testing.assert_allclose(points[0].nll, text.nll(alone)[0], atol=1e-4)
        assert points[0].norm == pytest.approx(editor.norms(LAYER, alone)[0], rel=1e-4)


def test_text_is_read_as_the_model_reads_it(setting):
    model, net, *_ = setting
    windows = WINDOWS[:2]
    with torch.no_grad():
        logp = model(windows).logits[:, :-1].log_softmax(-1)
    theirs = -logp.gather(2, windows[:, 1:, None])[..., 0].mean(1)
    np.testing.assert_allclose(RunningText(net, windows.tolist(), LAYER).nll()[0], theirs.numpy(), atol=1e-4)


def test_checkpoints_double_and_end_with_all():
    assert sequence.checkpoints(1) == [1]
    assert sequence.checkpoints(6) == [1, 2, 4, 6]
    assert sequence.checkpoints(16) == [1, 2, 4, 8, 16]


def test_quantities_by_hand():
    unedited = np.array([3.0, 4.0])
    rome = [
        Point(1, 0.1, np.array([1.0]), unedited),
        Point(2, 0.5, np.array([1.0, 0.0]), np.array([5.0, 5.0])),
    ]
    one_key = [Point(2, 0.2, np.array([1.0, 1.0]), unedited + 0.5)]
    tree = sequence.quantities(rome, unedited, resamples=50, seed=0)
    assert (tree["ES"]["value"], tree["nll_increase"]["value"], tree["norm"]["value"]) == (0.5, 1.5, 0.5)
    assert sequence.paired(rome, one_key, resamples=50, seed=0)["value"] == 1.0


def test_an_edit_that_doubles_perplexity_disables_the_model():
    unedited, weights = np.array([3.0, 3.0]), stats.resample_weights(3, resamples=50, seed=0)
    nll = unedited + np.array([[0.1, 0.1], [0.8, 0.7], [0.0, 0.2]])
    tree = sequence.single_quantities(nll, unedited, np.array([0.1, 0.9, 0.2]), weights)
    assert tree["disabled"]["value"] == pytest.approx(1 / 3)
    assert tree["nll_increase_max"]["value"] == pytest.approx(0.75)
    assert tree["norm_max"]["value"] == 0.9
