"""CoNLL-U: what is read, and every way in which a file can be out of order."""

import time

import pytest

from replications.corpora import conllu
from replications.errors import Refusal

SOUND = """# newdoc id = letters
# sent_id = one
# text = Give me the paper at once.
1\tGive\tgive\tVERB\tVB\tMood=Imp\t0\troot\t0:root\t_
2\tme\tI\tPRON\tPRP\t_\t1\tiobj\t1:iobj\tSpaceAfter=No

# sent_id = two
1\tVa\tandare\tVERB\t_\t_\t0\troot\t_\t_
1.1\tegli\t_\tPRON\t_\t_\t_\t_\t1:nsubj\t_
2-3\tdella\t_\t_\t_\t_\t_\t_\t_\t_
2\tdi\tdi\tADP\t_\t_\t4\tcase\t_\t_
3\tla\til\tDET\t_\t_\t4\tdet\t_\t_
4\t25 000\t25 000\tNUM\t_\t_\t1\tobl:arg\t_\tEntity=(1-time)
"""


def test_words_tags_and_arcs_are_read():
    one, two = conllu.read(SOUND, "f.conllu")
    assert (one.id, one.document, one.words) == ("one", "letters", ("Give", "me"))
    assert (one.upos, one.xpos, one.heads, one.relations) == (("VERB", "PRON"), ("VB", "PRP"), (0, 1), ("root", "iobj"))
    assert (one.misc, one.lines) == (("_", "SpaceAfter=No"), (4, 5))
    assert two.document == "letters"


def test_ranges_and_empty_nodes_are_no_words_and_a_word_may_hold_a_space():
    two = conllu.read(SOUND, "f.conllu")[1]
    assert two.words == ("Va", "di", "la", "25 000")
    assert two.heads == (0, 4, 4, 1)
    assert two.misc[-1] == "Entity=(1-time)"


def test_line_ends_of_windows_and_blank_lines_make_no_difference():
    plain = conllu.read(SOUND, "f")
    other = conllu.read("\r\n\r\n" + SOUND.replace("\n", "\r\n") + "\r\n", "f")
    assert [(tree.id, tree.words, tree.heads, tree.misc) for tree in plain] == [
        (tree.id, tree.words, tree.heads, tree.misc) for tree in other
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1\tGive\t", "1\tGive ", "line 4: 10 columns separated by tabs are expected, got 9"),
        ("2\tme\t", "3\tme\t", "line 5: word 2 is expected, got 3"),
        ("2\tme\t", "two\tme\t", "line 5: 'two' is no id of a word"),
        ("2\tme\t", "2\t\t", "line 5: the word is empty"),
        ("2\tme\t", "2\t \t", "line 5: the word is empty"),
        ("\t1\tiobj", "\t9\tiobj", "line 5: head 9 is outside its 2 words"),
        ("\t1\tiobj", "\t-1\tiobj", "line 5: the head should be the number of a word or 0, not '-1'"),
        ("\t1\tiobj", "\t_\tiobj", "line 5: the head should be"),
        ("\t1\tiobj", f"\t{'1' * 5000}\tiobj", "line 5: the head should be the number of a word or 0, not '1{20}'$"),
        ("2\tme\t", f"{'2' * 5000}\tme\t", "line 5: '2{20}' is no id of a word"),
        ("2\tme\t", "٢\tme\t", "line 5: '٢' is no id of a word"),
        ("2-3\tdella", f"2-{'3' * 5000}\tdella", "line 10: .* is no id of a word"),
        ("1.1\tegli", f"1.{'1' * 5000}\tegli", "line 9: .* is no id of a word"),
        ("SpaceAfter=No", " ", "line 5: 10 columns separated by tabs are expected, got 9"),
        ("# sent_id = two", "# sent_id", "line 7: the sentence should begin with a `# sent_id"),
        ("\t1\tiobj", "\t2\tiobj", "line 5: the heads form a cycle through word 2"),
        ("\t1\tiobj", "\t1\t_", "line 5: the word should have a universal tag and a relation"),
        ("\tPRON\tPRP", "\t_\tPRP", "line 5: the word should have a universal tag and a relation"),
        ("2-3\tdella", "3-4\tdella", "line 10: range 3-4 should begin at word 2"),
        ("2-3\tdella", "2-2\tdella", "line 10: range 2-2 should begin at word 2 and span two"),
        ("2-3\tdella", "2-9\tdella", "line 7: a range reaches to word 9 of 4"),
        ("# sent_id = two", "# text = two", "line 7: the sentence should begin with a `# sent_id"),
        ("# sent_id = two", "# sent_id = one", "line 7: sentence one stands at line 1 already"),
    ],
)
def test_a_file_that_is_out_of_order_is_refused_with_its_line(old, new, said):
    assert old in SOUND
    with pytest.raises(Refusal, match=f"^bad.conllu, {said}"):
        conllu.read(SOUND.replace(old, new), "bad.conllu")


def test_words_are_what_stands_between_tabs_whatever_a_comment_says_of_columns():
    text = SOUND.replace("25 000\t", "25  000\t").replace("# text =", "# global.columns = ID FORM\n# text =")
    one, two = conllu.read(text, "f.conllu")
    assert (one.words, two.words[-1], two.heads) == (("Give", "me"), "25  000", (0, 4, 4, 1))


def test_empty_nodes_keep_their_misc_and_line():
    assert conllu.read(SOUND, "f.conllu")[1].empty == (("_", 9),)


@pytest.mark.parametrize("last", [20_000, 1])
def test_a_chain_of_many_words_is_read_or_refused_in_no_time(small, last):
    n = 20_000
    heads = [*range(2, n + 1), 0 if last == n else last]
    text = small.sentence("s", *(f"w X _ {head} dep" for head in heads))
    start = time.process_time()
    if last == n:
        assert conllu.read(text, "f.conllu")[0].heads == tuple(heads)
    else:
        with pytest.raises(Refusal, match="line 2: the heads form a cycle through word 1"):
            conllu.read(text, "f.conllu")
    assert time.process_time() - start < 5  # of a second that it takes, and of the minutes that it would


@pytest.mark.parametrize(
    ("text", "said"), [("", "no sentence"), ("# sent_id = one\n", "line 1: the sentence has no word")]
)
def test_a_file_without_words_is_refused(text, said):
    with pytest.raises(Refusal, match=said):
        conllu.read(text, "empty.conllu")
