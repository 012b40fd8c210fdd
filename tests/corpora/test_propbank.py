"""PropBank: skeletons and joined lines, their alignment with sentences, and clean roles."""

import gzip
import io
import json
import lzma
import tarfile

import pytest

from replications.corpora import conllu, propbank
from replications.corpora.edges import Target
from replications.errors import Refusal

# The dog chased my cat, which ran away. Its words are masked, as in the release.
TAGS = ["DT", "NN", "VBD", "PRP$", "NN", ",", "WDT", "VBD", "RB", "."]
BRACKETS = ["(TOP(S(NP*", "*)", "(VP*", "(NP(NP*", "*)", "*", "(SBAR(WHNP*)", "(S(VP*", "(ADVP*))))))", "*))"]
CHASE = ["(ARG0*", "*)", "(V*)", "(ARG1*", "*", "*", "*", "*", "*)", "*"]
RUN = ["*", "*", "*", "(ARG0*", "*)", "*", "(R-ARG0*)", "(V*)", "(ARGM-DIR*)", "*"]
ROW = {
    "sent_id": "tale-red-0001", "split": "train", "tree": " ".join(BRACKETS), "xpos": TAGS,
    "preds": [
        {"args": [["ARG0", 0, 1], ["V", 2, 2], ["ARG1", 3, 8]]},
        {"args": [["ARG0", 3, 4], ["R-ARG0", 6, 6], ["V", 7, 7], ["ARGM-DIR", 8, 8]]},
    ],
}  # fmt: skip


def skeleton(tags=TAGS, tree=BRACKETS, columns=(CHASE, RUN), number=0):
    rows = []
    for index, (tag, bracket) in enumerate(zip(tags, tree, strict=True)):
        cells = ["google/ewt/tale/00/red.xml", str(number), str(index), "[WORD]", tag, bracket, "-", "-"]
        rows.append("   ".join([*cells, *(column[index] for column in columns)]))
    return "\n".join(rows) + "\n\n"


def tree_of(sent_id, tags=TAGS, words=None):
    words = words or [f"w{index}" for index in range(len(tags))]
    heads = tuple(range(len(tags)))
    return conllu.Tree(sent_id, "", tuple(words), ("X",) * len(tags), tuple(tags), heads, ("dep",) * len(tags))


def release(**texts):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"propbank-release-abc/data/google/ewt/tale/00/{name}.xml.gold_skel")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        info = tarfile.TarInfo("propbank-release-abc/data/google/ewt/tale/00/red.xml.prop")
        archive.addfile(info)
    return out.getvalue()


def test_both_forms_give_the_same_row():
    joined = propbank.read_joined(json.dumps(ROW) + "\n", "f.jsonl")
    released = propbank.read_release(release(red=skeleton()), "release.tar.gz", [tree_of("tale-red-0001")])
    assert released == joined


def test_roles_are_clean_and_constituents_without_the_word_level():
    row = propbank.read_joined(json.dumps(ROW), "f.jsonl")["tale-red-0001"]
    roles = propbank.roles(tree_of("tale-red-0001"), row).targets
    assert roles == (
        Target((2, 3), (0, 2), ("ARG0",)),
        Target((2, 3), (3, 9), ("ARG1",)),
        Target((7, 8), (3, 5), ("ARG0",)),
        Target((7, 8), (8, 9), ("ARGM-DIR",)),
    )
    labels = [target.labels[0] for target in propbank.constituents(tree_of("s"), row).targets]
    assert sorted(labels) == sorted(["TOP", "S", "NP", "VP", "NP", "NP", "SBAR", "WHNP", "S", "VP", "ADVP"])


@pytest.mark.parametrize("role", ["C-ARG1", "R-ARGM-LOC", "ARG1-DSP", "V", "C-V", "ARG6"])
def test_other_roles_are_not_clean(role):
    assert not propbank.CLEAN.fullmatch(role)


def test_alignment_skips_what_the_other_side_does_not_have():
    short = ["UH", "."]
    texts = skeleton(short, ["(TOP(INTJ*)", "*)"], ()) + skeleton(number=1) + skeleton(["CC"], ["(TOP*)"], (), 2)
    rows = propbank.read_skeletons(texts, "red")
    trees = [tree_of("tale-red-0001"), tree_of("tale-red-0002", ["NN", "NN", "NN"]), tree_of("tale-red-0003", ["CC"])]
    assert propbank.align(rows, trees) == {"tale-red-0001": rows[1], "tale-red-0003": rows[2]}


def test_a_few_tags_may_differ_but_not_many():
    (row,) = propbank.read_skeletons(skeleton(), "red")
    two, three = (["XX"] * count + TAGS[count:] for count in (2, 3))
    assert propbank.align([row], [tree_of("a", two)]) == {"a": row}
    assert propbank.align([row], [tree_of("a", three)]) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(V*)", "*", "lines 1-10: "),
        ("(ARG1*", "(ARG1*)", "does not fit into a column of roles"),
        ("(ARG0*   ", "(ARG0*   *   ", "equally many columns"),
        ("*))", "*)", "is not closed"),
        ("   3   [WORD]", "   4   [WORD]", "numbered 0 to 9"),
    ],
)
def test_a_skeleton_that_is_out_of_order_is_refused_with_its_lines(old, new, said):
    text = skeleton()
    assert old in text
    with pytest.raises(Refusal, match=f"^red, .*{said}"):
        propbank.read_skeletons(text.replace(old, new, 1), "red")


@pytest.mark.parametrize(
    "change",
    [
        {"tree": "(TOP*"},
        {"tree": "(" * 100_000},
        {"xpos": TAGS[:5]},
        {"preds": [{"args": [["ARG0", 0, 1]]}]},
        {"preds": [{"args": [["V", 0.0, 1.0]]}]},
        {"sent_id": None, "preds": 3},
    ],
)
def test_a_joined_row_that_is_out_of_order_is_refused_with_its_line(change):
    with pytest.raises(Refusal, match=r"f.jsonl, line 2: not a row of PropBank"):
        propbank.read_joined(f"{json.dumps(ROW)}\n{json.dumps(ROW | change)}\n", "f.jsonl")


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "[]", "null", '{"preds": 1e999}'])
def test_what_json_can_hide_is_refused_with_its_line(line):
    with pytest.raises(Refusal, match=r"f.jsonl, line 1: not a row of PropBank"):
        propbank.read_joined(line, "f.jsonl")


def test_a_role_is_a_name():
    row = propbank.read_joined(json.dumps(ROW | {"preds": [{"args": [[7, 0, 1], ["V", 2, 2]]}]}), "f.jsonl")
    assert propbank.roles(tree_of("tale-red-0001"), row["tale-red-0001"]).targets == ()


def test_a_row_of_another_length_than_its_sentence_is_refused():
    rows = propbank.read_joined(json.dumps(ROW), "f.jsonl")
    with pytest.raises(Refusal, match="ewt-propbank: sentence tale-red-0001 has 10 words, 2 in the treebank"):
        propbank.join([tree_of("tale-red-0001", ["NN", "NN"])], rows, "ewt-propbank")
    assert propbank.join([tree_of("another")], rows, "ewt-propbank") == []


def not_text():
    archive = release(red=skeleton())
    return gzip.compress(gzip.decompress(archive).replace(b"[WORD]", b"\xff\xff\xff\xff\xff\xff"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        release(red=skeleton())[:200],
        gzip.compress(b"x" * 600),
        lzma.compress(b"x")[:20],
        not_text(),
    ],
    ids=["empty", "no archive", "cut off", "no tar", "no whole xz", "not UTF-8"],  # bytes of an archive hold its time
)
def test_a_damaged_release_is_refused(data):
    with pytest.raises(Refusal, match=r"release.tar.gz (is not a sound archive|holds no skeleton)"):
        propbank.read_release(data, "release.tar.gz", [tree_of("tale-red-0001")])


def test_a_document_of_more_sentences_than_can_be_compared_is_refused(monkeypatch):
    monkeypatch.setattr(propbank, "LARGEST", 3000)
    many = [tree_of("tale-red-0001")] * 1000
    short = "".join(skeleton(["CC"], ["(TOP*)"], (), number) for number in range(4))
    with pytest.raises(Refusal, match=r"red.xml.gold_skel has 4 sentences; one document's are expected"):
        propbank.read_release(release(red=short), "release.tar.gz", many)
    with pytest.raises(Refusal, match=r"gold_skel has \d+ bytes"):
        propbank.read_release(release(red=skeleton() * 30), "release.tar.gz", many)


def test_a_release_without_a_fitting_skeleton_is_refused():
    with pytest.raises(Refusal, match=r"release.tar.gz holds no skeleton that belongs"):
        propbank.read_release(release(blue=skeleton()), "release.tar.gz", [tree_of("tale-red-0001")])
