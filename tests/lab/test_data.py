"""What a lab hands out and notes in its record: data sets, and networks it does not train."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from trial import recorded, write_book

from labkit.chapters.chapter import Chapter
from labkit.data import store
from labkit.data.embedded.registry import EmbeddedSet
from labkit.data.images import Images
from labkit.data.sources.registry import SOURCES
from labkit.data.weights import WEIGHTS
from labkit.errors import LabkitError
from labkit.lab import networks
from labkit.lab.faults import whole_record
from labkit.lab.record import Record, read_record, sealed, unsealed
from labkit.lab.session import Lab, open_lab
from labkit.models.networks import NETWORKS
from labkit.models.normalized import Normalized
from labkit.models.resnet import resnet8
from labkit.site.directives.recorded import _data, _weights


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_book(tmp_path).root


def lab(profile: str = "smoke") -> Lab:
    return open_lab("p00-trial", profile=profile, seed=0)


def closed(lab: Lab, book: Path) -> Record:
    """Return the record that the lab has written."""
    lab.record("R1", [{"x": 1}])
    lab.close()
    path = book / f"runs/p00-trial/{lab.profile}/seed-0.json"
    assert whole_record(path) == read_record(path)
    return read_record(path)


@dataclasses.dataclass(frozen=True)
class Graph:
    """A data set that holds no images and has no first examples."""

    name: str
    nodes: torch.Tensor
    fingerprint: str = "0123456789abcdef"
    differences: str = "made up"

    def __len__(self) -> int:
        return len(self.nodes)

    def to(self, device: torch.device | str) -> Graph:
        return dataclasses.replace(self, nodes=self.nodes.to(device))


@pytest.fixture
def cora(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered graph, which is in the data folder."""
    stand_in = EmbeddedSet("ring", "a ring", lambda split, n: Graph(f"ring/{split}", torch.arange(n)), (9, 3))
    source = dataclasses.replace(
        SOURCES["mnist"],
        stand_in=stand_in,
        build=lambda stored: Graph(stored.name, torch.from_numpy(stored.arrays["nodes"]), stored.fingerprint),
    )
    monkeypatch.setitem(SOURCES, "cora", source)
    arrays = {"train_nodes": np.arange(5), "test_nodes": np.arange(2)}
    card = {"classes": list(source.classes), "source": source.citation, "licence": source.licence}
    store.write_set("cora", arrays, card)


@pytest.mark.parametrize(
    ("name", "stand_in", "shape"),
    [
        ("cifar10", "glyphs", (3, 32, 32)),
        ("cifar100", "glyphs100", (3, 32, 32)),
        ("mnist", "digits", (1, 28, 28)),
        ("fashion_mnist", "digits", (1, 28, 28)),
        ("svhn", "digits", (1, 28, 28)),
        ("dtd", "glyphs100", (3, 32, 32)),
    ],
)
def test_smoke_takes_what_stands_in_for_a_set(
    book: Path, name: str, stand_in: str, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    opened = lab()
    train, test = opened.images(name, 100)
    assert (train.name, test.name) == (f"{stand_in}/train[first 100]", f"{stand_in}/test")
    assert (tuple(train.x.shape), len(test)) == ((100, *shape), 300)
    assert f"{stand_in}/test: 300 images, fingerprint {test.fingerprint}\n" in capsys.readouterr().out
    same, _ = lab().data(name, 100)
    assert isinstance(same, Images)
    assert torch.equal(same.x, train.x)
    assert closed(opened, book).data == [
        {"name": part.name, "images": n, "fingerprint": part.fingerprint, "differences": ""}
        for part, n in ((train, 100), (test, 300))
    ]


def test_a_set_that_only_judges_has_no_training_images(
    book: Path, cora: None, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = lab()
    judges = opened.test_images("tiny_imagenet_val")
    assert (judges.name, len(judges)) == ("glyphs100/test", 300)
    _, test = lab().images("cifar100")
    assert torch.equal(judges.x, test.x)
    assert [part["name"] for part in closed(opened, book).data] == ["glyphs100/test"]
    real = lab("laptop")
    card = {"classes": ["a"], "source": "some", "licence": "any", "differences": "half of it"}
    store.write_set(
        "judges", {"test_images": np.zeros((2, 4, 4, 3), np.uint8), "test_labels": np.zeros(2, int)}, card
    )
    assert len(real.test_images("judges")) == 2
    assert "differs from the original: half of it\n" in capsys.readouterr().out
    with pytest.raises(LabkitError, match='judges has no split "train"'):
        real.images("judges")
    with pytest.raises(LabkitError, match="cora/test holds no images"):
        real.test_images("cora")


@pytest.mark.parametrize(
    ("profile", "name", "sizes"), [("smoke", "ring", (9, 3)), ("laptop", "cora", (5, 2))]
)
def test_a_set_without_images_is_handed_out_and_counted_in_examples(
    cora: None,
    book: Path,
    profile: str,
    name: str,
    sizes: tuple[int, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = lab(profile)
    train, test = opened.data("cora")
    assert isinstance(train, Graph)
    assert (train.name, len(train), len(test)) == (f"{name}/train", *sizes)
    told = capsys.readouterr().out
    assert f"{name}/train: {sizes[0]} examples, fingerprint {train.fingerprint}\n" in told
    assert "differs from the original: made up\n" in told
    record = closed(opened, book)
    assert [part["examples"] for part in record.data] == list(sizes)
    assert not any("images" in part for part in record.data)
    assert _data([record])[0].startswith(f"Data: {name}/train, {sizes[0]} examples, fingerprint ")
    with pytest.raises(LabkitError, match=rf"^{name}/train holds no images: ask for it with lab\.data$"):
        lab(profile).images("cora")
    with pytest.raises(LabkitError, match=rf"^{name}/train has no first 2 examples"):
        lab(profile).data("cora", 2)


def test_smoke_names_the_sets_there_are(book: Path) -> None:
    with pytest.raises(LabkitError, match=r'^no embedded set stands in for "cifar11"; one does for: cifar'):
        lab().data("cifar11")


def test_a_record_without_the_number_of_examples_is_refused(book: Path) -> None:
    opened = lab("laptop")
    opened._record.data.append({"name": "cora/train", "fingerprint": "f", "differences": ""})
    with pytest.raises(LabkitError, match="its data lacks images or examples"):
        closed(opened, book)


def test_smoke_takes_a_small_network_and_trains_it_once(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, drawn = [], []
    for _ in range(2):
        opened = lab()
        trained.append(opened.pretrained("mnist_kw"))
        drawn.append(torch.rand(1).item())
    assert "resnet8 in place of mnist_kw: trained on digits/train, licence: MIT\n" in capsys.readouterr().out
    assert drawn[0] == drawn[1]
    [file] = (book / "cache/labkit/zoo").glob("*.safetensors")
    assert file.name.startswith("resnet8-")
    for one, other in zip(trained[0].parameters(), trained[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert not trained[0].training
    _, test = opened.images("mnist")
    with torch.no_grad():
        right = (trained[0](test.x.float()).argmax(1) == test.y).float().mean().item()
    assert right > 0.8
    [note] = closed(opened, book).weights
    assert note["name"] == "resnet8 in place of mnist_kw"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_stand_in_of_its_form(name: str) -> None:
    images = networks.trained_on(name).make("test", 1)
    assert isinstance(images, Images)
    assert images.name == ("digits/test" if name.startswith("mnist") else "glyphs/test")
    with torch.no_grad():
        logits = NETWORKS[name].build().eval()(images.x.float())
        assert resnet8(images.x.shape[1], len(images.classes)).eval()(images.x.float()).shape == logits.shape


def test_the_weights_of_a_public_network_are_noted_with_source_and_licence(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "cifar10_resnet20"
    network = Normalized(resnet8(), (0.0,) * 3, (1.0,) * 3).eval()
    monkeypatch.setattr(networks, "pretrained", {name: network}.__getitem__)
    opened = lab("laptop")
    assert opened.pretrained(name) is network
    assert opened.pretrained(name) is network  # a cell that runs twice
    source = WEIGHTS[name].address
    assert f"{name}: {source}, licence: BSD-2-Clause\n" in capsys.readouterr().out
    record = closed(opened, book)
    expected = {"name": name, "source": source, "licence": "BSD-2-Clause"}
    assert record.weights == [expected | {"fingerprint": NETWORKS[name].digest[:16]}]
    assert _weights([record, record]) == [
        f"Pretrained network: {name}, weights {NETWORKS[name].digest[:16]} of {source}, "
        "licence: BSD-2-Clause."
    ]


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_an_unknown_network_and_absent_weights_are_named(book: Path, profile: str) -> None:
    with pytest.raises(LabkitError, match=r'^no pretrained network "cifar10_resnet21"; there are:'):
        lab(profile).pretrained("cifar10_resnet21")
    if profile == "laptop":
        with pytest.raises(LabkitError, match="labkit data fetch mnist_kw"):
            lab(profile).pretrained("mnist_kw")


@pytest.mark.data
def test_public_weights_are_handed_out(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(book)
    if not (store.data_folder() / "weights/cifar10_resnet20.safetensors").is_file():
        pytest.skip("the weights of cifar10_resnet20 are not there")
    model = lab("laptop").pretrained("cifar10_resnet20")
    _, test = lab("laptop").images("cifar10")
    with torch.no_grad():
        assert (model(test.x[:200].float()).argmax(1) == test.y[:200]).float().mean() > 0.85


def test_a_record_without_weights_is_read_as_it_is(book: Path) -> None:
    path = recorded(Chapter("p00-trial", book), 0).write(book / "results")
    content = unsealed(path)
    del content["weights"]
    path.write_text(sealed(content))
    assert whole_record(path).weights == []
