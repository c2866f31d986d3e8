"""The questions, in the order of the report."""

from experiments.question import Question
from experiments.questions.batch_size import BatchSize
from experiments.questions.books import Books
from experiments.questions.by_hand import ByHand
from experiments.questions.clipping import Clipping
from experiments.questions.depth import Depth
from experiments.questions.detaching import Detaching
from experiments.questions.embedding import Embedding
from experiments.questions.perplexity import Perplexity
from experiments.questions.random_iter import RandomIter
from experiments.questions.relu import Relu
from experiments.questions.sampling import Sampling
from experiments.questions.speed import Speed
from experiments.questions.vanishing import Vanishing
from experiments.questions.warm_up import WarmUp

QUESTIONS: tuple[Question, ...] = (
    Embedding(),
    Perplexity(),
    Books(),
    Sampling(),
    Clipping(),
    Detaching(),
    Relu(),
    WarmUp(),
    RandomIter(),
    BatchSize(),
    Depth(),
    Speed(),
    Vanishing(),
    ByHand(),
)
