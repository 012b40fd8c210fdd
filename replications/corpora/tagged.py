"""Words with tags where there is no tree: two columns per line, and treebanks cut below the word."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from replications.corpora.conllu import Tree
from replications.corpora.edges import Sentence, Target
from replications.errors import Refusal


def read_columns(text: str, name: str) -> tuple[Sentence, ...]:
    """Sentences of "word<TAB>tag" lines with blank lines between them, numbered in file order.

    Tags are read in capitals. A sentence in which a word has two is left out: a target has one.
    """
    sentences: list[Sentence] = []
    rows: list[list[str]] = []
    for number, line in enumerate([*text.replace("\r\n", "\n").split("\n"), ""], start=1):
        if line.strip():
            cells = [cell.strip() for cell in line.split("\t")]
            if len(cells) < 2 or not all(cells):
                raise Refusal(f"{name}, line {number}: a word and its tag are expected, separated by a tab")
            rows.append(cells)
        elif rows:
            sentences.append(_sentence(str(len(sentences) + 1), rows))
            rows = []
    if not sentences:
        raise Refusal(f"{name} holds no sentence of words and tags")
    return tuple(sentence for sentence in sentences if all(len(target.labels) == 1 for target in sentence.targets))


def _sentence(sent_id: str, rows: list[list[str]]) -> Sentence:
    targets = (Target((index, index + 1), None, tuple(map(str.upper, tags))) for index, (_, *tags) in enumerate(rows))
    return Sentence(sent_id, tuple(word for word, *_ in rows), tuple(targets))


def join_inflectional_groups(tree: Tree) -> Tree:
    """The same sentence in words: groups linked by the relation "ig" become one, which has the tag of its last.

    The heads are renumbered; the Turkish Web Treebank cuts a word wherever a derivation changes its class.
    """
    last = [relation != "ig" for relation in tree.relations]
    word_of = [0, *accumulate(last)][: len(last)]
    starts = [index for index in range(len(last)) if index == 0 or last[index - 1]]
    ends = [index for index, ends_word in enumerate(last) if ends_word]
    forms = ["".join(tree.words[start : end + 1]) for start, end in zip(starts, ends, strict=True)]
    heads = [0 if tree.heads[end] == 0 else word_of[tree.heads[end] - 1] + 1 for end in ends]
    return replace(
        tree,
        words=tuple(forms),
        upos=tuple(tree.upos[end] for end in ends),
        xpos=tuple(tree.xpos[end] for end in ends),
        heads=tuple(heads),
        relations=tuple(tree.relations[end] for end in ends),
        misc=(),
        lines=(),
        empty=(),
    )
