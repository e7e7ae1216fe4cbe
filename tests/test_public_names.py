import subprocess
import sys

import pytest

import sycoca


def test_every_public_name_is_there():
    from sycoca.evaluation.evaluate_all import evaluate_all
    from sycoca.evaluation.filter_pairs import filter_pairs
    from sycoca.inference.caption_set import caption_set
    from sycoca.inference.load import load
    from sycoca.inference.predictor import Predictor
    from sycoca.mapping.functions import map_captions, map_embeddings, map_filter, map_scores
    from sycoca.model.config import SyCoCaConfig
    from sycoca.model.sycoca import SyCoCa
    from sycoca.search.build import index_images
    from sycoca.search.image_index import open_index
    from sycoca.training.pretrain import pretrain
    from sycoca.weights.publishing import push_to_hub

    assert (sycoca.load, sycoca.Predictor, sycoca.pretrain) == (load, Predictor, pretrain)
    assert (sycoca.push_to_hub, sycoca.evaluate_all) == (push_to_hub, evaluate_all)
    assert (sycoca.caption_set, sycoca.filter_pairs) == (caption_set, filter_pairs)
    assert (sycoca.map_captions, sycoca.map_embeddings) == (map_captions, map_embeddings)
    assert (sycoca.map_filter, sycoca.map_scores) == (map_filter, map_scores)
    assert (sycoca.SyCoCaConfig, sycoca.SyCoCa) == (SyCoCaConfig, SyCoCa)
    assert (sycoca.index_images, sycoca.open_index) == (index_images, open_index)
    assert sycoca.__version__.count(".") == 2
    assert dir(sycoca) == sorted(sycoca.__all__)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="module 'sycoca' has no attribute 'pretrian'"):
        _ = sycoca.pretrian


def test_importing_it_and_its_configs_imports_no_torch():
    code = (
        "import sys, sycoca, sycoca.cli.use.caption, sycoca.cli.evaluate.arguments\n"
        "import sycoca.cli.use.explain, sycoca.cli.use.index, sycoca.cli.use.search, sycoca.cli.weights.push\n"
        "import sycoca.weights.config, sycoca.weights.hub\n"
        "sycoca.SyCoCaConfig\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
