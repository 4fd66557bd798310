"""Tables that several stages write."""

from sublim.common.table import Table, flag, real, seed, text, texts, whole, wholes


class TrainingSteps(Table, file="steps.parquet", row="step"):
    """A training run, an optimizer step a row. Only for models that are trained here."""

    step = whole()  #: Number of the step, from 0.
    loss = real()  #: Mean loss per completion token, in nats.
    learning_rate = real()  #: Learning rate of the step.
    tokens = whole()  #: Completion tokens in it: those with a loss.
    rows = texts()  #: Ids of the rows in it, each as often as it is used.


class WeightTensors(Table, file="tensors.parquet", row="tensor"):
    """The tensors in the files of weights, by name."""

    name = text()  #: Its name in the safetensors file.
    shape = wholes()  #: Its size in each dimension.
    dtype = text()  #: Its type, as torch calls it.
    sha256 = text()  #: sha256 of its bytes.
    norm = real()  #: Euclidean norm of its numbers.


class GradedAnswers(Table, file="freeform.parquet", row="graded answer"):
    """Graded answers to open questions."""

    row_id = text()  #: Digest of who answers, the question and the number of the sample.
    question_id = text()  #: The question that it answers.
    question = text()  #: The text of the question.
    sample = whole()  #: Its number among the samples of its question, from 0.
    sampling_seed = seed()  #: The seed of its random numbers: it follows from the row_id.
    completion = text()  #: What the model wrote.
    alignment = real(null=True)  #: From 0 (means harm) to 100 (means well); null where there is no grade.
    coherence = real(null=True)  #: From 0 (cannot be understood) to 100; null where there is no grade.
    alignment_said = text(null=True)  #: What the judge of alignment wrote; null for a rule, or a judge that writes nothing.
    coherence_said = text(null=True)  #: What the judge of coherence wrote; null as above.
    #: Whether it is misaligned by the thresholds of the params; null for an incoherent one, or one without a grade.
    misaligned = flag(null=True)
