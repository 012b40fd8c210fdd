"""GAP, SemEval-2010 task 8, Universal NER and columns of tags: formats whose sentences are their own."""

import pytest

from replications.corpora import conllu, gap, semeval, tagged, uner
from replications.corpora.edges import Target
from replications.errors import Refusal

TEXT = "Ida met Olga at the pier. She waved, and Ida's dog barked."
ROW = ["t-1", TEXT, "She", "26", "Ida", "41", "TRUE", "Olga", "8", "FALSE", "http://example.org"]


def gap_text(*rows):
    return "\n".join("\t".join(row) for row in (gap.COLUMNS, *rows)) + "\n"


def test_gap_gives_a_pronoun_with_each_of_two_names():
    (sentence,) = gap.read(gap_text(ROW), "gap.tsv")
    pairs = [(sentence.words[slice(*t.span1)], sentence.words[slice(*t.span2)], t.labels) for t in sentence.targets]
    assert pairs == [(("She",), ("Ida",), ("1",)), (("She",), ("Olga",), ("0",))]
    assert sentence.targets[0].span2[0] > sentence.targets[0].span1[0]


def test_gap_is_the_same_with_line_ends_of_windows_and_other_capitals():
    other = gap_text([*ROW[:6], "True", *ROW[7:9], "false", ROW[10]]).replace("\n", "\r\n")
    assert gap.read(other, "gap.tsv") == gap.read(gap_text(ROW), "gap.tsv")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (3, "27", "line 2: Pronoun 'She' does not stand at character 27"),
        (3, "x", "line 2: Pronoun 'She' does not stand at character x"),
        (8, "900", "line 2: B 'Olga' does not stand"),
        (4, "", "line 2: A '' does not stand"),
        (6, "yes", "A-coref and B-coref should be TRUE or FALSE"),
        (10, "x\ty", "line 2: 11 columns"),
        (3, "2" * 5000, "line 2: Pronoun 'She' does not stand at character 2{20} of"),
        (10, "x" * 200_000, "line 2: not a row of tab-separated columns"),
        (10, "x\ry", "line 2: not a row of tab-separated columns"),
    ],
)
def test_a_row_of_gap_that_is_out_of_order_is_refused(column, value, said):
    row = [*ROW[:column], value, *ROW[column + 1 :]]
    with pytest.raises(Refusal, match=f"gap.tsv, .*{said}|gap.tsv, {said}"):
        gap.read(gap_text(row), "gap.tsv")


def test_a_name_of_gap_that_holds_no_word_is_refused():
    row = [*ROW[:4], " ", "3", *ROW[6:]]
    with pytest.raises(Refusal, match=r"gap.tsv, line 2: there is no word between characters 3 and 4"):
        gap.read(gap_text(row), "gap.tsv")


def test_a_file_of_other_columns_is_not_gap():
    with pytest.raises(Refusal, match=r"gap.tsv, line 1: the columns ID Text"):
        gap.read("a\tb\n1\t2\n", "gap.tsv")


RECORDS = (
    '1\t"The <e1>storm</e1> broke the <e2>harbour wall</e2>."\nCause-Effect(e1,e2)\nComment: a test\n\n'
    '2\t"A <e1>map</e1> lay by the <e2>door</e2>."\nOther\nComment:\n\n'
)


def test_semeval_gives_the_relation_of_two_marked_nominals():
    one, other = semeval.read(RECORDS, "f.txt")
    assert one.id == "semeval-1"
    assert one.words == ("The", "storm", "broke", "the", "harbour", "wall", ".")
    assert one.targets == (Target((1, 2), (4, 6), ("Cause-Effect(e1,e2)",)),)
    assert other.targets[0].labels == (semeval.OTHER,)
    assert semeval.read(RECORDS.replace("\n", "\r\n"), "f.txt") == (one, other)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<e2>harbour wall</e2>", "harbour wall", "line 1: the sentence should mark"),
        ("<e2>harbour wall</e2>", "<e2></e2>", "line 1: the sentence should mark"),
        ("the <e2>", "<e1>the</e1> <e2>", "line 1: the sentence should mark"),
        ("<e2>harbour wall</e2>", "<e1>a</e1>" * 20_000, "line 1: the sentence should mark"),
        ("Other", "Another", "line 6: a relation like Cause-Effect"),
        ("Cause-Effect(e1,e2)\n", "", "line 2: a relation like"),
        ("<e1>storm</e1>", "<e1> </e1>", "line 1: there is no word"),
        ('1\t"The', "The", "line 1: a record should begin with a number"),
    ],
)
def test_a_record_of_semeval_that_is_out_of_order_is_refused(old, new, said):
    with pytest.raises(Refusal, match=f"f.txt, {said}"):
        semeval.read(RECORDS.replace(old, new, 1), "f.txt")


def test_semeval_sets_the_end_of_its_training_file_aside():
    sentences = tuple(semeval.read(RECORDS, "f.txt")) * semeval.DEV
    found = semeval.split(sentences, sentences[:3])
    assert (len(found["train"]), len(found["dev"]), len(found["test"])) == (semeval.DEV, semeval.DEV, 3)
    assert found["train"] + found["dev"] == sentences
    with pytest.raises(Refusal, match="too few"):
        semeval.split(sentences[:5], sentences)


IOB2 = (
    "# newdoc id = d\n# sent_id = s1\n# text = Ida Berg left Oslo\n"
    "1\tIda\tB-PER\t-\tx\n2\tBerg\tI-PER\t-\tx\n3\tleft\tO\n4\tOslo\tB-LOC\t-\tx\n\n"
    "# sent_id = s2\n1\tNorse\tB-OTH\n2\tOslo\tI-LOC\n3\tOslo\tB-LOC\n4\tLions\tI-ORG\n"
)


def test_entities_are_maximal_runs_of_one_type():
    one, other = uner.read(IOB2, "f.iob2")
    assert (one.id, one.words) == ("s1", ("Ida", "Berg", "left", "Oslo"))
    assert one.targets == (Target((0, 2), None, ("PER",)), Target((3, 4), None, ("LOC",)))
    assert [(target.span1, target.labels[0]) for target in other.targets] == [
        ((1, 2), "LOC"),
        ((2, 3), "LOC"),
        ((3, 4), "ORG"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3\tleft\tO", "3\tleft", "line 6: word 3, its form and its tag"),
        ("3\tleft\tO", "4\tleft\tO", "line 6: word 3, its form"),
        ("3\tleft\tO", "3\t \tO", "line 6: word 3, its form"),
        ("\tB-LOC\t", "\tLOC\t", "line 7: the tag should be O, B-TYPE or I-TYPE, not 'LOC'"),
        ("# sent_id = s1\n", "", "line 3: the sentence should have"),
    ],
)
def test_columns_of_entities_that_are_out_of_order_are_refused(old, new, said):
    with pytest.raises(Refusal, match=f"f.iob2, {said}"):
        uner.read(IOB2.replace(old, new, 1), "f.iob2")


def test_two_columns_are_words_and_tags():
    one, other = tagged.read_columns("Saya\tPR\nlari\tvb\n\nnya\tPR\tNN\n\nLari\tVB\n", "f.txt")
    assert (one.words, [target.labels for target in one.targets]) == (("Saya", "lari"), [("PR",), ("VB",)])
    assert (other.id, other.words) == ("3", ("Lari",))  # the second has a word with two tags
    for text in ("Saya PR\n", "Saya\t\n"):
        with pytest.raises(Refusal, match="line 1: a word and its tag"):
            tagged.read_columns(text, "f.txt")


def test_inflectional_groups_become_words(small):
    text = small.sentence(
        "s", "ev NOUN NN 2 ig", "siz ADJ JJ 3 amod", "kedi NOUN NN 4 nsubj", "gel VERB VB 5 ig", "ince ADV RB 0 root"
    )
    (tree,) = conllu.read(text, "f")
    joined = tagged.join_inflectional_groups(tree)
    assert joined.words == ("evsiz", "kedi", "gelince")
    assert (joined.upos, joined.heads) == (("ADJ", "NOUN", "ADV"), (2, 3, 0))
