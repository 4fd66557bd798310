"""The detector `linear`: what plain statistics can see, logistic regression on token n-grams, cross-validated by prompt.

The paper has no such classifier. Its question, and ours: is what can be seen what transmits? The shuffles tell: the classifier,
trained on rows as they are, is shown the held-out rows with their numbers shuffled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sublim.common.canonical import digest
from sublim.common.progress import Progress
from sublim.common.table import Column, real, text, whole
from sublim.detectors.detector import Detector, Made
from sublim.detectors.material import Data, named
from sublim.detectors.pairs import LABELS, Compared, Identified, identified, labelled, labels
from sublim.detectors.summary import seen
from sublim.detectors.words import PLAIN, SHUFFLES, kind_names
from sublim.params.kinds import kind, modules

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tokens = Literal["all", "numbers"]
BY: Mapping[Tokens, str] = {"all": "linear", "numbers": "linear_numbers"}  #: Which tokens a classifier reads → its name.
KEYS = [*LABELS, "by", "kind", "parent_id"]
SIDES = ("own", "other")
Split = Callable[[Sequence[str]], list[list[str]]]  #: Texts → the tokens of each, as text.
Change = Callable[[Sequence[tuple[str, str]]], list[str]]  #: (row id, completion) of rows → completions after a shuffle.
START, END = "⟨start⟩", "⟨end⟩"
ITERATIONS = 2_000


class Scores(Identified, file="scores.parquet", view="held_out_scores", row="held-out score", parents=("parent_id",)):
    """Held-out scores of linear classifiers, each of which saw no completion of the prompt."""

    by = text()  #: Which classifier.
    kind = text()  #: What was done to the held-out rows: nothing (`plain`), or the name of a shuffle.
    side = text()  #: Whose completion it is: `own`, the one's, or `other`.
    fold = Column(pl.Int32)  #: In which fold it was held out, from 0.
    parent_id = text()  #: The filtered row.
    score = real()  #: Log odds that the completion is the one's.


class Ngrams(Compared, file="ngrams.parquet", view="ngrams", row="n-gram"):
    """The n-grams with the largest weights of classifiers trained on all rows."""

    by = text()  #: Which classifier.
    side = text()  #: For whom it speaks: `own`, the one, or `other`.
    rank = whole()  #: Its rank among those of the side, from 1.
    ngram = text()  #: Its tokens, shown as text, with spaces between them.
    weight = real()  #: Its weight, in log odds per unit of tf-idf.
    own_rows = whole()  #: How many of the one's completions have it.
    other_rows = whole()  #: How many of the other's.


class Linear(Detector):
    """Logistic regression on the tf-idf of token n-grams, cross-validated with all completions of a prompt in one fold."""

    tokens: Annotated[tuple[Tokens, ...], Field(min_length=1)] = ("all", "numbers")
    """Which tokens it sees, one classifier for each. `all`: separators, brackets, and by the marks at both ends the length.
    `numbers`: only tokens with a digit, and no marks."""
    pairs: Annotated[int, Field(ge=2)] = 1_000
    """The most prompts per run and contrast."""
    folds: Annotated[int, Field(ge=2)] = 5
    """How many folds."""
    shortest: Annotated[int, Field(ge=1)] = 1
    """The shortest n-gram, in tokens. A mark stands before the first and after the last token of a completion."""
    longest: Annotated[int, Field(ge=1)] = 2
    """The longest n-gram, in tokens."""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """Inverse of the strength of the L2 penalty (scikit-learn's `C`)."""
    shown: Annotated[int, Field(ge=1)] = 20
    """How many of the most telling n-grams are written down for each run, contrast and side."""

    title: ClassVar = "A linear classifier on token n-grams."
    tables: ClassVar = (Scores, Ngrams)
    classifiers: ClassVar = {"linear": "linear classifier, all tokens", "linear_numbers": "linear classifier, numbers alone"}
    headline: ClassVar = {"linear": "a linear classifier trained on labelled rows"}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) is above longest ({self.longest}): swap them")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError(f"tokens: expected each once, found {list(self.tokens)}")
        return self

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The shuffles: it is shown rows so shuffled."""
        return (modules("arms")[name] for name in SHUFFLES)

    def uses(self) -> Iterable[str]:
        """The same."""
        return self.may_use()

    def look(self, data: Data, progress: Progress) -> Made:  # noqa: D102
        from sublim.models.load import load

        changes = {name: partial(_shuffled, name, data.seed) for name in SHUFFLES if data.of_numbers}
        track = progress.start("linear", sum(len(data.classified(model)) for model in data.models), "comparison")
        found: tuple[list[pl.DataFrame], list[pl.DataFrame]] = [], []
        for model in data.models:
            split = splitter(load(data.bases[model])[1])
            cuts: Mapping[Tokens, Split] = {"all": marked(split), "numbers": numbers(split)}
            for each in data.classified(model):
                track.advance(note=named(each))
                both = data.pairs(each, self.folds).head(self.pairs)
                shown = changes if each.contrast == "base" else {}
                for tokens in self.tokens:
                    made = scores(both, cuts[tokens], shown, self, data.seed), telling(both, cuts[tokens], self)
                    for parts, table in zip(found, made, strict=True):
                        parts.append(labelled(each, table.select(pl.lit(BY[tokens]).alias("by"), pl.all())))
        held_out, weights = map(pl.concat, found)
        return {"scores": identified("score", data.study, held_out, KEYS), "ngrams": weights}

    def expected(self, data: Data) -> Made:  # noqa: D102
        parts: list[pl.DataFrame] = []
        for each in (each for model in data.models for each in data.classified(model)):
            both = data.pairs(each, self.folds).head(self.pairs)
            changed = each.contrast == "base" and data.of_numbers
            for tokens, kind_, side in product(self.tokens, sorted([PLAIN, *SHUFFLES]) if changed else [PLAIN], SIDES):
                known = {"by": BY[tokens], "kind": kind_, "side": side}
                rows = both.select(*(pl.lit(value).alias(name) for name, value in known.items()), parent_id=f"{side}_id")
                parts.append(labelled(each, rows))
        return {"scores": identified("score", data.study, pl.concat(parts), KEYS)}

    def unsound(self, data: Data, made: Made) -> Iterator[tuple[str, str]]:  # noqa: D102
        yield from self._odd_ngrams(data, made["ngrams"])
        folds = made["scores"].group_by(*LABELS, "side", "kind", "by").agg("fold")
        sides = folds.group_by(LABELS).agg(pl.col("fold").n_unique())
        if (split := sides.filter(pl.col("fold") > 1)).height:
            yield "folds", f"expected both completions of a prompt in one fold, found others in {split.height:,} runs"

    def runs(self, made: Made) -> Iterator[Mapping[str, Any]]:  # noqa: D102
        for values, part in made["scores"].group_by(*LABELS, "by", "kind", maintain_order=True):
            found = seen(part)
            numbers = {"pairs": found.pairs, "accuracy": found.pairwise, "auc": found.auc, "single": found.accuracy}
            yield dict(zip((*LABELS, "by", "kind"), values, strict=True)) | numbers

    def explained(self) -> str:  # noqa: D102
        return (
            f"The linear classifier: logistic regression (C = {self.strength}) on tf-idf of token n-grams of length "
            f"{self.shortest} to {self.longest}, {self.folds} folds, both completions of a prompt in one fold. It needs "
            "labelled rows of both teachers, which nobody has who is handed one data set. Shuffles are made among held-out "
            "rows: in the rows of the shuffle arms most numbers come from rows that it was trained on."
        )

    @classmethod
    def lines(cls, row: str, facts: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG003, D102
        whose = "the one" if facts["side"] == "own" else "the other"
        yield f"{kind_names()[facts['kind']]}: log odds {facts['score']:+.4g} for a completion of {whose}"
        yield f"by a classifier that saw no completion of its prompt (fold {facts['fold']})"

    def _odd_ngrams(self, data: Data, found: pl.DataFrame) -> Iterator[tuple[str, str]]:
        """Whose the telling n-grams are, and in what order. The weights are in no other table."""
        compared = [each for model in data.models for each in data.classified(model)]
        kinds = [(BY[tokens], side) for tokens, side in product(self.tokens, SIDES)]
        expected = [(*labels(each), *chosen) for each in compared for chosen in kinds]
        of = [*LABELS, "by", "side"]
        actual = list(found.select(of).unique(maintain_order=True).iter_rows())
        if actual != [each for each in expected if each in set(actual)]:
            strange = next((each for each in actual if each not in set(expected)), actual[0])
            yield "n-grams", f"expected those of the classifiers of the params, in their order, found {strange}"
            return
        weight, rank, ngram = pl.col("weight"), pl.col("rank"), pl.col("ngram")
        odd = found.filter(
            (rank != pl.int_range(1, pl.len() + 1).over(of))
            | (rank > self.shown)
            | ((weight > 0) != (pl.col("side") == "own"))
            | (weight.abs().round(8) > weight.abs().round(8).shift().over(of))
            | (ngram.is_duplicated().over(of))
            | (pl.max_horizontal("own_rows", "other_rows") > self.pairs)
        )
        if odd.height:
            row = odd.row(0, named=True)
            said = f"found {row['ngram']!r} with {row['weight']:.4g} at rank {row['rank']} of {row['side']}"
            yield "n-grams", f"expected the largest weights of each side, the largest first, {said}"


def _shuffled(name: str, seed: int, rows: Sequence[tuple[str, str]]) -> list[str]:
    return [row.completion for row in kind("arms", name).changed(rows, digest(["detection", "shuffle", seed]))]


def splitter(tokenizer: "PreTrainedTokenizerBase") -> Split:
    """Cuts texts into the tokens that models read, shown as text: a space as ␣, a line break as ⏎, a tab as ⇥."""
    from sublim.learn import chat

    known: dict[int, str] = {}

    def split(texts: Sequence[str]) -> list[list[str]]:
        ids = chat.encode(tokenizer, texts)
        for token in sorted({token for row in ids for token in row} - known.keys()):
            (shown,) = chat.decode(tokenizer, [[token]])
            known[token] = shown.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
        return [[known[token] for token in row] for row in ids]

    return split


def marked(split: Split) -> Split:
    """The tokens of `split` between marks for start and end."""
    return lambda texts: [[START, *tokens, END] for tokens in split(texts)]


def numbers(split: Split) -> Split:
    """The tokens of `split` that have a digit."""
    return lambda texts: [[token for token in tokens if any(map(str.isdigit, token))] for tokens in split(texts)]


def scores(pairs: pl.DataFrame, split: Split, kinds: dict[str, Change], params: Linear, seed: int) -> pl.DataFrame:
    """Held-out scores of every completion, as it is and changed: kind, side, fold, parent_id, score.

    A score is the log odds that the completion is of `own`, from a classifier that saw no completion of its prompt. A change is
    made among the held-out rows of a fold and one side alone. (In the rows of the shuffle arms most numbers come from rows that
    the classifier was trained on.)
    `pairs`: from `paired`, at least as many as there are folds; `kinds`: kind → what is done to the held-out completions,
    `plain` is always there; `seed`: of the folds."""
    from sklearn.model_selection import GroupKFold  # pyright: ignore[reportMissingTypeStubs]

    ids, texts = [*pairs["own_id"], *pairs["other_id"]], [*pairs["own"], *pairs["other"]]
    own = np.repeat([True, False], pairs.height)
    prompts = np.tile(np.arange(pairs.height), 2)
    vectorizer, counts = _counted(split(texts), params)
    folds: Any = GroupKFold(params.folds, shuffle=True, random_state=seed)
    parts: list[pl.DataFrame] = []
    for fold, (trained, held) in enumerate(folds.split(texts, own, prompts)):
        classifier = _trained(counts[trained], own[trained], params)
        for name, side in (("own", True), ("other", False)):
            rows = [int(row) for row in held if own[row] == side]
            given = [(ids[row], texts[row]) for row in rows]
            changed = {kind: vectorizer.transform(split(change(given))) for kind, change in kinds.items()}
            held_out = pl.DataFrame({"parent_id": [ids[row] for row in rows], "prompt": prompts[rows]})
            parts += [
                held_out.select(
                    *(pl.lit(kind).alias("kind"), pl.lit(name).alias("side"), pl.lit(fold).alias("fold"), pl.all()),
                    pl.Series("score", classifier.decision_function(features)),
                )
                for kind, features in {"plain": counts[rows], **changed}.items()
            ]
    return pl.concat(parts).sort("kind", pl.col("side") == "other", "prompt").drop("prompt")


def telling(pairs: pl.DataFrame, split: Split, params: Linear) -> pl.DataFrame:
    """The n-grams with the largest weights on either side, of a classifier trained on all rows: side, rank, ngram, weight,
    own_rows and other_rows (how many completions of each have it)."""
    own = np.repeat([True, False], pairs.height)
    vectorizer, counts = _counted(split([*pairs["own"], *pairs["other"]]), params)
    names = vectorizer.get_feature_names_out()
    weights: NDArray[np.float64] = _trained(counts, own, params)["regression"].coef_[0]
    rows = [np.asarray((counts[own == side] > 0).sum(axis=0)).ravel() for side in (True, False)]
    # By name where weights are the same to the last digits that mean something.
    order = np.lexsort((names, -np.abs(weights).round(9)))
    parts: list[pl.DataFrame] = []
    for side, chosen in (("own", order[weights[order] > 0]), ("other", order[weights[order] < 0])):
        best = chosen[: params.shown]
        parts.append(
            pl.DataFrame(
                {
                    "side": [side] * len(best),
                    "rank": list(range(1, len(best) + 1)),
                    "ngram": [str(names[place]) for place in best],
                    "weight": weights[best],
                    "own_rows": rows[0][best].astype(np.int64),
                    "other_rows": rows[1][best].astype(np.int64),
                },
                schema_overrides={"side": pl.String, "rank": pl.Int64, "ngram": pl.String},
            )
        )
    return pl.concat(parts)


def _counted(texts: list[list[str]], params: Linear) -> tuple[Any, Any]:
    """A vectorizer that knows the n-grams of `texts` (tokens), and how often each occurs: [texts, n-grams]."""
    from sklearn.feature_extraction.text import CountVectorizer  # pyright: ignore[reportMissingTypeStubs]

    vectorizer: Any = CountVectorizer(
        tokenizer=_tokens,
        preprocessor=_tokens,
        token_pattern=cast("Any", None),
        lowercase=False,
        ngram_range=(params.shortest, params.longest),
    )
    return vectorizer, vectorizer.fit_transform(texts)


def _trained(counts: Any, own: NDArray[np.bool_], params: Linear) -> Any:
    """A classifier of counts. It knows no n-gram that is not in the counts that it was trained on."""
    from sklearn.feature_extraction.text import TfidfTransformer  # pyright: ignore[reportMissingTypeStubs]
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]
    from sklearn.pipeline import Pipeline  # pyright: ignore[reportMissingTypeStubs]
    from sklearn.preprocessing import FunctionTransformer  # pyright: ignore[reportMissingTypeStubs]

    known = np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel())
    steps = [
        ("known", FunctionTransformer(_columns, kw_args={"places": known}, check_inverse=False)),
        ("weighted", TfidfTransformer()),
        ("regression", LogisticRegression(C=params.strength, max_iter=ITERATIONS)),
    ]
    return cast("Any", Pipeline(steps)).fit(counts, own)


def _columns(counts: Any, places: NDArray[np.int64]) -> Any:
    return counts[:, places]


def _tokens(tokens: list[str]) -> list[str]:
    return tokens


Linear.default = Linear()
KIND = Linear
