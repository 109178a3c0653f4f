"""Each defence against a plain form of it, and what an attacker who knows it passes back through."""

import io
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from adapters.defences.adaptive import merged, passing_back
from adapters.defences.average import Average
from adapters.defences.base import Transform
from adapters.defences.bit_depth import BitDepth
from adapters.defences.confidence_switch import ConfidenceSwitch
from adapters.defences.detector_switch import DetectorSwitch
from adapters.defences.draws import Draws
from adapters.defences.gaussian_blur import GaussianBlur
from adapters.defences.gaussian_noise import GaussianNoise
from adapters.defences.jpeg import Jpeg
from adapters.defences.median import Median
from adapters.defences.random_crop import RandomCrop
from adapters.defences.random_switch import RandomlySwitched
from adapters.defences.registry import DEFENCES
from adapters.defences.resize_pad import ResizePad
from adapters.defences.round_robin import RoundRobin
from adapters.defences.stack import Stack
from adapters.defences.total_variation import TotalVariation
from adapters.defences.ways import ways_of
from tests.builders.defended import defended, linear

NONE = Draws([0])
BYTES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 12, 12), dtype=np.uint8))
X = BYTES.float() / 255
TRANSFORMS: list[Transform] = [
    BitDepth(bits=3), Median(width=3), GaussianBlur(), Jpeg(quality=50), TotalVariation(), GaussianNoise(),
    ResizePad(), RandomCrop(),
]  # fmt: skip


def test_bit_depth_is_rounding_to_levels() -> None:
    for bits in (1, 3, 8):
        levels = 2**bits - 1
        squeezed = BitDepth(bits=bits).apply(X, NONE)
        assert squeezed.dtype == torch.float32
        assert torch.equal(squeezed, (torch.round(X.double() * levels) / levels).float())


@pytest.mark.parametrize("width", [3, 4])
def test_median_is_the_middle_of_the_window_and_so_is_its_stand_in(width: int) -> None:
    median = Median(width=width)
    before, after = width // 2, (width - 1) // 2
    padded = np.pad(X.numpy(), ((0, 0), (0, 0), (before, after), (before, after)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (width, width), axis=(2, 3))
    plain = np.sort(windows.reshape(*X.shape, -1), axis=-1)[..., width**2 // 2]
    np.testing.assert_array_equal(median.apply(X, NONE).numpy(), plain)
    np.testing.assert_array_equal(median.stand_in(X).numpy(), plain)


def through_a_file(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.float32]:
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "jpeg", quality=quality)
    return (np.asarray(Image.open(file)).transpose(2, 0, 1) / 255).astype(np.float32)


@pytest.mark.parametrize("quality", [20, 75])
def test_jpeg_is_what_a_file_holds(quality: int) -> None:
    """Every byte survives: k / 255 * 255 is below k for some, and ART alone would cut these by a level."""
    plain = np.stack([through_a_file(image, quality) for image in BYTES.numpy()])
    np.testing.assert_array_equal(Jpeg(quality=quality).apply(X, NONE).numpy(), plain)


def test_blur_is_the_convolution_with_a_gaussian() -> None:
    sigma, reach = 0.8, 3
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(X.double().numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(2, 3))
    plain = np.einsum("nchwij,i,j->nchw", windows, kernel, kernel)
    np.testing.assert_allclose(GaussianBlur(sigma=sigma).apply(X, NONE).numpy(), plain, atol=1e-6)


def test_total_variation_is_minimised() -> None:
    """No other image near the answer has a lower objective; what is flat or smooth enough stays as it is."""

    def objective(y: Tensor, x: Tensor, weight: float) -> float:
        y = y.double()
        down, right = torch.zeros_like(y), torch.zeros_like(y)
        down[..., :-1, :], right[..., :-1] = y[..., 1:, :] - y[..., :-1, :], y[..., 1:] - y[..., :-1]
        return float(((y - x.double()) ** 2).sum() / 2 + weight * (down**2 + right**2).sqrt().sum())

    weight = 0.1
    found = TotalVariation(weight=weight, steps=1000).apply(X, NONE)
    least = objective(found, X, weight)
    assert least < objective(X, X, weight)
    generator = torch.Generator().manual_seed(0)
    for size in (0.003, 0.03):
        for _ in range(10):
            other = found + size * torch.randn(found.shape, generator=generator)
            assert objective(other, X, weight) > least - 1e-3
    flat = torch.full((1, 3, 6, 6), 0.25)
    assert torch.allclose(TotalVariation().apply(flat, NONE), flat)


def test_noise_has_its_deviation_and_draws_are_of_each_image() -> None:
    big = torch.full((64, 3, 16, 16), 0.5)
    noise = GaussianNoise(sigma=0.1).apply(big, Draws(range(64))) - big
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert not torch.equal(noise[0], noise[1])
    again = GaussianNoise(sigma=0.1).apply(big[5:6], Draws([5])) - big[5:6]
    assert torch.equal(again, noise[5:6]), "an image's draws are its own, in any company"


def test_crops_and_padding_show_the_image_at_its_place() -> None:
    """At a share of a half, a crop of an image made of four squares lies between them; padding adds black
    and no light."""
    ramp = torch.linspace(0, 1, 32).expand(3, 32, 32)[None].contiguous()
    low, high = [], []
    for seed in range(20):
        cropped = RandomCrop(share=0.5).apply(ramp, Draws([seed]))
        low.append(float(cropped.min()))
        high.append(float(cropped.max()))
        assert 0.4 < high[-1] - low[-1] < 0.55
    assert min(low) < 0.1
    assert max(high) > 0.9
    white = torch.ones(1, 3, 32, 32)
    areas = [float(ResizePad(smallest=0.5).apply(white, Draws([seed])).mean()) for seed in range(40)]
    assert 0.22 < min(areas) < 0.4
    assert 0.8 < max(areas) <= 1.001


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.defence)
def test_an_adaptive_attack_sees_the_defence_and_gets_a_gradient(transform: Transform) -> None:
    x = X.clone().requires_grad_(True)
    seen = passing_back(transform, x, Draws([1]))
    assert torch.allclose(seen, transform.apply(X, Draws([1])), atol=1e-6)
    (gradient,) = torch.autograd.grad(seen.square().sum(), x)
    assert float(gradient.abs().mean()) > 1e-3


def test_the_mean_loss_has_the_gradient_of_the_mean_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 12, 5, generator=generator, dtype=torch.float64) * 3
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    x = torch.randn(6, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    y = torch.arange(6) % 5
    logits = torch.einsum("nd,bdc->bnc", x, weight)
    loss = torch.nn.functional.cross_entropy
    (found,) = torch.autograd.grad(loss(merged(logits, shares, "mean-loss"), y), x, retain_graph=True)
    mean = torch.stack([share * loss(one, y) for share, one in zip(shares, logits, strict=True)]).sum()
    (exact,) = torch.autograd.grad(mean, x, retain_graph=True)
    torch.testing.assert_close(found, exact)
    probability = torch.einsum("b,bnc->nc", shares, logits.softmax(2)).log()
    torch.testing.assert_close(merged(logits, shares, "mean-probability"), probability)


W = torch.linspace(-1, 1, 12)


def test_switches_choose_and_averages_merge() -> None:
    sure, unsure = linear(8 * W), linear(W, 0.3)
    x = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    each = torch.stack([sure(x), unsure(x)])
    by_confidence = defended(ConfidenceSwitch(), around=[sure, unsure])(x)
    certainty = each.softmax(2).amax(2)
    assert torch.equal(by_confidence, torch.where((certainty[0] >= certainty[1])[:, None], each[0], each[1]))
    mean = defended(Average(what="probabilities"), around=[sure, unsure])(x)
    torch.testing.assert_close(mean.softmax(1), each.softmax(2).mean(0))
    torch.testing.assert_close(defended(Average(what="logits"), around=[sure, unsure])(x), each.mean(0))
    votes = defended(Average(what="votes"), around=[sure, unsure, linear(-W)])(x)
    counted = torch.stack([*each, linear(-W)(x)]).argmax(2).sum(0) > 1
    assert torch.equal(votes.argmax(1), counted.long())


def test_the_detector_hands_suspicious_images_to_the_second_member() -> None:
    steep, other = linear(40 * W, -20 * float(W.sum())), linear(W)
    x = torch.rand(8, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    detector = DetectorSwitch(bits=2, width=3, threshold=0.7)
    model = defended(detector, around=[steep, other])
    score = detector.suspicion(x, steep(x), model.ask)
    assert 0 < int((score > 0.7).sum()) < 8
    assert torch.equal(model(x), torch.where((score > 0.7)[:, None], other(x), steep(x)))


def test_turns_are_taken_and_probabilities_kept() -> None:
    ones, twos = linear(W), linear(2 * W)
    x = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    turns = defended(RoundRobin(), around=[ones, twos])
    assert [torch.equal(turns(x), member(x)) for member in (ones, twos, ones)] == [True] * 3
    switch = defended(RandomlySwitched(probabilities=(0.25, 0.75)), around=[ones, twos])
    switch.begin(0)
    drawn = [torch.equal(switch(x), twos(x)) for _ in range(400)]
    assert pytest.approx(sum(drawn) / 400, abs=4 * math.sqrt(0.25 * 0.75 / 400)) == 0.75
    switch.begin(0)
    assert drawn[:20] == [torch.equal(switch(x), twos(x)) for _ in range(20)], (
        "an attack made again meets the same draws"
    )


def test_every_defence_is_registered_with_its_ways() -> None:
    assert set(DEFENCES) >= {t.defence for t in TRANSFORMS} | {
        "random-switch",
        "round-robin",
        "confidence-switch",
        "average",
    }

    def ways(*defences: object, members: int = 1) -> list[str]:
        return [way.name for way in ways_of(Stack(defences, tuple("abc"[:members])), cross_entropy=True)]  # type: ignore[arg-type]

    assert ways(BitDepth()) == ["bpda"]
    assert ways(GaussianBlur()) == []
    assert ways(Jpeg(), GaussianNoise()) == ["bpda-eot"]
    assert ways(RandomlySwitched(), members=2) == ["mean-loss", "mean-probability", "mean-logits"]
    assert ways(BitDepth(), RandomlySwitched(), members=2)[3:] == ["bpda-branch-a", "bpda-branch-b"]
    assert ways(Average(what="logits"), members=2) == []
    assert ways(Average(what="votes"), members=2) == ["stand-in"]
