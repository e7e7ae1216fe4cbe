import pytest
import torch

from sycoca.experiments.doctor import self_test as module
from sycoca.experiments.doctor.self_test import check_losses, check_same, self_test
from sycoca.weights.folder import save_weights

CPU = torch.device("cpu")


def test_a_model_is_trained_saved_and_loaded():
    found = self_test(CPU)
    assert found.title.startswith("self-test on cpu (")
    assert [(one.name, one.state) for one in found.findings] == [("train", "good"), ("save and load", "good")]
    assert found.findings[1].value == "all weights and 4 captions are equal before and after"


def test_weights_that_are_saved_wrong_fail(monkeypatch):
    monkeypatch.setattr(module, "NUM_STEPS", 2)

    def save_changed(folder, model, *others):
        with torch.no_grad():
            model.log_logit_scale.add_(1e-3)
        save_weights(folder, model, *others)
        with torch.no_grad():
            model.log_logit_scale.sub_(2e-3)

    monkeypatch.setattr(module, "save_weights", save_changed)
    failed = self_test(CPU).findings[1]
    assert (failed.name, failed.state) == ("save and load", "failed")
    assert failed.value == "ValueError: log_logit_scale is loaded with other values than were saved"


def test_an_error_in_training_is_a_finding_and_ends_the_test(monkeypatch):
    def broken(_trained: object) -> str:
        raise ImportError("libgomp.so.1:\ncannot open")

    monkeypatch.setattr(module, "_train", broken)
    (failed,) = self_test(CPU).findings
    assert (failed.state, failed.value) == ("failed", "ImportError: libgomp.so.1: cannot open")
    assert failed.remedy == "sycoca doctor --verbose shows the traceback"


@pytest.mark.parametrize(
    ("losses", "message"),
    [([3.0, 4.0], "the loss does not fall"), ([3.0, float("nan")], "losses are not finite: 3, nan")],
)
def test_losses_are_finite_and_fall(losses, message):
    with pytest.raises(ValueError, match=message):
        check_losses(losses)
    check_losses([4.0, 3.0])


def test_captions_are_equal_and_likelihoods_nearly():
    likelihoods = torch.tensor([-1.0, -2.0])
    check_same(["a", "b"], ["a", "b"], likelihoods, likelihoods + 1e-6)
    with pytest.raises(ValueError, match="image 1: 'b' before saving, 'c' after loading"):
        check_same(["a", "b"], ["a", "c"], likelihoods, likelihoods)
    for other in (likelihoods + 0.01, likelihoods * float("nan")):
        with pytest.raises(ValueError, match="log-likelihoods of the same captions differ"):
            check_same(["a", "b"], ["a", "b"], likelihoods, other)
