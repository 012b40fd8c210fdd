"""Prompts as rows of tokens with named columns: the subject's last token, and where which next token is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replications.stimuli.facts import place
from replications.stimuli.spans import Encoder, Span, continuation


@dataclass(frozen=True)
class Row:
    """`subject` is the column of the subject's last token; the states at the columns `asked` are read off."""

    ids: tuple[int, ...]
    subject: int
    asked: tuple[int, ...]


@dataclass(frozen=True)
class Pick:
    """One answer on one row: its tokens, and which of the row's asked states predicts each."""

    row: int
    states: tuple[int, ...]
    tokens: tuple[int, ...]


def with_answer(ids: Sequence[int], subject: int, answer: Sequence[int]) -> Row:
    """The prompt with all but the last token of an answer, asked for each of them."""
    whole = (*ids, *answer[:-1])
    return Row(whole, subject, tuple(range(len(ids) - 1, len(whole))))


def answer_tokens(encode: Encoder, prompt: str, answer: str) -> tuple[int, ...] | None:
    """Tokens that an answer (with its leading space) adds to the prompt; None when it changes the prompt's own."""
    tokens = continuation(encode, prompt, answer)
    return None if tokens is None else tuple(tokens)


def last_of_subject(encode: Encoder, text: str, span: Span) -> tuple[tuple[int, ...], int] | None:
    """Token ids and the column of the subject's last token; None when a token crosses the subject's boundary."""
    placed = place(encode, text, span)
    return None if placed is None else (tuple(placed[0].ids), placed[1][-1])


def merged(wanted: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[list[Row], list[Pick]]:
    """Rows for (prompt, answer) pairs, one pick each; pairs that need the same tokens run share a row."""
    rows: dict[tuple[int, tuple[int, ...]], int] = {}
    made: list[Row] = []
    picks: list[Pick] = []
    for prompt, answer in wanted:
        row = with_answer(prompt, 0, answer)
        index = rows.setdefault((len(prompt), row.ids), len(made))
        if index == len(made):
            made.append(row)
        picks.append(Pick(index, tuple(range(len(answer))), tuple(answer)))
    return made, picks
