"""The questions, in the order of the report."""

from scripts.report.question import Question
from scripts.report.questions.batch_size import BatchSize
from scripts.report.questions.books import Books
from scripts.report.questions.by_hand import ByHand
from scripts.report.questions.cells import Cells
from scripts.report.questions.clipping import Clipping
from scripts.report.questions.depth import Depth
from scripts.report.questions.detaching import Detaching
from scripts.report.questions.embedding import Embedding
from scripts.report.questions.generalising import Generalising
from scripts.report.questions.perplexity import Perplexity
from scripts.report.questions.random_iter import RandomIter
from scripts.report.questions.relu import Relu
from scripts.report.questions.sampling import Sampling
from scripts.report.questions.speed import Speed
from scripts.report.questions.vanishing import Vanishing
from scripts.report.questions.warm_up import WarmUp

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
    Generalising(),
    Cells(),
)
