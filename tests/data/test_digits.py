"""The embedded data set."""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits

from bench import data
from bench.data import DataSpec
from bench.data.choose import balanced, each, halves
from bench.data.digits import open_digits
from bench.data.raw import NOWHERE


def test_train_and_test_are_disjoint_halves_of_the_chosen_classes() -> None:
    spec = DataSpec(classes=(1, 3, 5, 7, 9))
    train, test, both = (data.load(spec, split) for split in ("train", "test", "all"))
    assert not set(train.ids) & set(test.ids)
    assert set(train.ids) | set(test.ids) == set(both.ids)
    assert len(both) == 906
    assert abs(len(train) - len(test)) <= 5
    assert train.classes == ("1", "3", "5", "7", "9")
    assert set(np.unique(test.labels)) == {0, 1, 2, 3, 4}


def test_digits_are_those_of_scikit_learn_which_need_not_be_imported() -> None:
    found, theirs = open_digits(DataSpec(), "all", NOWHERE), load_digits()
    np.testing.assert_array_equal(found.labels, theirs.target)
    for i in range(len(found.ids)):
        np.testing.assert_array_equal(np.asarray(found.image(i)), np.rint(theirs.images[i] * 255 / 16))
    program = (
        "import sys; from bench.data import DataSpec, load; load(DataSpec(), 'all');"
        " sys.exit('sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_images_are_rgb_in_the_unit_range_and_labels_are_those_of_scikit_learn() -> None:
    images = data.load(DataSpec(classes=(4, 2), size=24), "all")
    assert images.x.shape == (len(images), 3, 24, 24)
    assert images.x.dtype == np.float32
    assert images.x.min() == 0
    assert images.x.max() == 1
    digits = load_digits()
    for sample, label in zip(images.ids, images.labels, strict=True):
        assert digits.target[int(sample.split("/")[1])] == (4, 2)[label]


def test_samples_are_balanced_and_the_same_every_time() -> None:
    spec = DataSpec(classes=(0, 1, 2, 3), samples=50)
    test = data.load(spec, "test")
    assert sorted(np.bincount(test.labels)) == [12, 12, 13, 13]
    assert data.load(spec, "test").content_hash == test.content_hash
    assert data.load(spec.model_copy(update={"seed": 1}), "test").content_hash != test.content_hash


def test_the_content_hash_sees_pixels_labels_and_ids() -> None:
    images = data.load(DataSpec(classes=(0, 1)), "test")
    changed = images.images.copy()
    changed[0, 0, 0, 0] ^= 1
    others = [
        type(images)(changed, images.labels, images.ids, images.classes),
        type(images)(images.images, 1 - images.labels, images.ids, images.classes),
        type(images)(images.images, images.labels, images.ids[::-1], images.classes),
    ]
    assert len({s.content_hash for s in [images, *others]}) == 4


def test_choosing() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    first, second = halves(labels, seed=0)
    assert sorted([*first, *second]) == list(range(7))
    assert list(np.bincount(labels[first], minlength=3)) == [2, 1, 0]
    assert list(np.bincount(labels[balanced(labels, 4, seed=0)])) == [2, 1, 1]
    assert len(balanced(labels, 99, seed=0)) == 7
    assert list(np.bincount(labels[each(labels, 2, seed=0)])) == [2, 2, 1]
    many = np.repeat([0, 1], 50)
    np.testing.assert_array_equal(each(many, 3, seed=0), [0, 1, 2, 50, 51, 52])
    for seed in (0, 1, 2):
        np.testing.assert_array_equal(each(many, 3, seed=seed), balanced(many, 6, seed=seed))
    assert len({tuple(each(many, 3, seed=seed)) for seed in (0, 1, 2)}) == 3
