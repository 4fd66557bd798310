"""What plain statistics can see: logistic regression on token n-grams, cross-validated by prompt.

The paper has no such classifier. Its question, and ours: is what can be seen what transmits? The shuffles tell: the classifier,
trained on rows as they are, is shown the held-out rows with their numbers shuffled.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer  # pyright: ignore[reportMissingTypeStubs]
from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]
from sklearn.model_selection import GroupKFold  # pyright: ignore[reportMissingTypeStubs]
from sklearn.pipeline import Pipeline  # pyright: ignore[reportMissingTypeStubs]
from sklearn.preprocessing import FunctionTransformer  # pyright: ignore[reportMissingTypeStubs]

from sublim.params.detection import Linear

Split = Callable[[Sequence[str]], list[list[str]]]
"""Texts → the tokens of each, as text."""
Change = Callable[[Sequence[tuple[str, str]]], list[str]]
"""(row id, completion) of some rows → the completions after a shuffle."""

START, END = "⟨start⟩", "⟨end⟩"
ITERATIONS = 2_000


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

    Args:
        pairs: from `paired`, at least as many as there are folds.
        split: how a completion is cut into tokens.
        kinds: kind → what is done to the held-out completions; `plain` is always there.
        params: folds, n-grams, penalty.
        seed: of the folds.
    """
    ids = [*pairs["own_id"], *pairs["other_id"]]
    texts = [*pairs["own"], *pairs["other"]]
    own = np.repeat([True, False], pairs.height)
    prompts = np.tile(np.arange(pairs.height), 2)
    vectorizer, counts = _counted(split(texts), params)
    folds = GroupKFold(params.folds, shuffle=True, random_state=seed)
    parts: list[pl.DataFrame] = []
    for fold, (trained, held) in enumerate(folds.split(texts, own, prompts)):
        classifier = _trained(counts[trained], own[trained], params)
        for name, side in (("own", True), ("other", False)):
            rows = [int(row) for row in held if own[row] == side]
            given = [(ids[row], texts[row]) for row in rows]
            shown = {"plain": counts[rows]} | {
                kind: vectorizer.transform(split(change(given))) for kind, change in kinds.items()
            }
            parts += [
                pl.DataFrame(
                    {
                        "parent_id": [ids[row] for row in rows],
                        "prompt": [int(prompts[row]) for row in rows],
                        "score": classifier.decision_function(features),
                    }
                ).select(pl.lit(kind).alias("kind"), pl.lit(name).alias("side"), pl.lit(fold).alias("fold"), pl.all())
                for kind, features in shown.items()
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
