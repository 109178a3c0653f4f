"""The study's questions: the suites that ask each, and what finds the answer in their runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from docs.study.answer import Answer
from docs.study.certainty import certainty_falls
from docs.study.defended import defences
from docs.study.found import Found
from docs.study.one_run import one_run_each
from docs.study.ranks import ranks_and_layers
from docs.study.robust import robust_training
from docs.study.three_ways import three_ways
from docs.study.transferred import transfer


@dataclass(frozen=True)
class Question:
    """``suites`` ask it in sizes for one core, ``larger`` ones for a GPU.

    ``answer`` takes what was found of the former.
    """

    letter: str
    title: str
    suites: tuple[str, ...]
    larger: tuple[str, ...]
    answer: Callable[[Sequence[Found]], Answer]
    figures: bool = False


QUESTIONS = (
    Question(
        "a", "Full fine-tuning, LoRA-FC and LoRA-FC+Conv1 under FGSM and PGD: which is more robust,"
        " which more certain?",
        ("study_digits", "study_tiny_imagenet", "study_cifar10", "study_imagenet"),
        ("tiny_imagenet", "tiny_imagenet_split", "cifar10", "imagenet_lite"), three_ways, figures=True,
    ),
    Question("b", "Does LoRA's rank, or the layers that it stands on, change robustness?",
             ("study_rank",), ("study_rank_gpu",), ranks_and_layers),
    Question("c", "Does certainty fall under black-box attacks too?", ("study_black_box",),
             ("study_black_box_gpu",), certainty_falls),
    Question("d", "Is switching between adapters, or squeezing, a defence?",
             ("study_switching", "switching", "defences"), ("study_switching_gpu",), defences),
    Question("e", "Does an adapter keep a backbone's robustness, or can adversarial training give it any?",
             ("study_robust", "robust_lora", "cifar10_robust_cpu"),
             ("cifar10_robust", "tiny_imagenet_robust"), robust_training),
    Question("f", "Does the public backbone let someone attack a private adapter?", ("study_transfer",),
             ("study_transfer_gpu",), transfer),
    Question("g", "What would one have concluded from one training of each, without intervals?",
             ("study_digits", "study_tiny_imagenet", "study_cifar10", "study_imagenet", "study_rank",
              "study_black_box", "study_switching", "study_robust", "study_transfer"), (), one_run_each),
)  # fmt: skip
