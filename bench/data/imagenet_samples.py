"""The 20 ImageNet images that Foolbox bundles: enough to try pretrained models without a download."""

from importlib.util import find_spec
from pathlib import Path

from bench.data.folder import from_files
from bench.data.layout import images_in
from bench.data.raw import Places, RawSet
from bench.data.spec import DataSpec, Split
from bench.errors import UserError


def open_imagenet_samples(spec: DataSpec, split: Split, places: Places) -> RawSet:  # noqa: ARG001 (the interface of every source)
    """The images, labelled among the 1,000 classes of ILSVRC 2012; they are a test set only."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    if split != "test":
        raise UserError(
            "data: imagenet-samples has no training images; use adaptation {method: none}, or another source"
        )
    package = find_spec("foolbox")
    if package is None or package.origin is None:
        raise UserError(
            "data: imagenet-samples are bundled with Foolbox, which is not installed; pip install foolbox"
        )
    folder = Path(package.origin).parent / "data"
    # Two ImageNet classes share the name "crane", and two "maillot": the number keeps names apart.
    classes = [f"{i:03d} {name}" for i, name in enumerate(_IMAGENET_CATEGORIES)]
    files = [
        (file, classes[int(file.stem.split("_")[2])])
        for file in images_in(folder)
        if file.name.startswith("imagenet_")
    ]
    return from_files(folder, files, classes, native_size=224)
