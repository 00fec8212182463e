"""Planted faults are real, limits that see them are named, and a fault that passes is named with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.compare.comparator import StoredRun, compare_samples
from harness.compare.planted import detections
from harness.errors import RunError
from harness.images import array_digest, write_arrays, write_picture
from harness.records import CaseKey, Perturbation, PerturbationKind, Scope
from tests.compare.stored_runs import CUP, SIDE, Made, letter, limit, model_identity, single, stored_run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import Detection, Limit

OTHER = CaseKey(case="cup", seed=7)
SEES_ALL = [
    limit("ssim_tile_min", Scope.REFERENCE, at_least=0.999),
    limit("signed_mean_diff", Scope.REFERENCE, subject="conversion", at_least=-0.1),
    limit("relative_l2", Scope.REFERENCE, subject="latents", at_most=0.01),
]


def healthy(folder: Path, *, float_image: bool = True) -> StoredRun:
    """A run of two seeds whose pictures and latents differ, and whose 8-bit pictures are their rounded floats."""
    made = {key: [[Made(picture=name, latents=name, float_image="A")]] for key, name in ((CUP, "B"), (OTHER, "K"))}
    stored = stored_run(folder, made)
    samples = [_rounded(folder, sample, float_image=float_image) for sample in stored.run.samples]
    return StoredRun(run=stored.run.model_copy(update={"samples": samples}), folder=folder)


def _rounded(folder: Path, sample: Any, *, float_image: bool) -> Any:
    generator = np.random.default_rng(sample.key.seed)
    floats = generator.uniform(-0.9, 0.9, (SIDE, SIDE, 3)).astype(np.float32)
    picture = np.rint((floats + 1) * 127.5).astype(np.uint8)
    latents = generator.normal(size=(1, 16, 4, 4)).astype(np.float32)
    write_picture(folder / sample.image.path, picture)
    write_arrays(folder / sample.latents.path, {"float_image": floats, "latents": latents}, {})
    refs = {
        "image": sample.image.model_copy(update={"digest": array_digest(picture)}),
        "float_image": sample.float_image.model_copy(update={"digest": array_digest(floats)}) if float_image else None,
        "latents": sample.latents.model_copy(update={"digest": array_digest(latents)}),
    }
    return sample.model_copy(update=refs)


def found(stored: StoredRun, limits: list[Limit]) -> dict[str, Detection]:
    return {each.fault: each for each in detections(limits, stored, stored)}


def test_limits_that_see_every_fault_leave_none_missed_and_are_named(tmp_path: Path) -> None:
    seen = found(healthy(tmp_path / "cpu"), SEES_ALL)
    assert list(seen) == ["other_noise", "corrupt_tile", "truncation"]
    assert all(not each.missed for each in seen.values())
    assert [each.planted for each in seen.values()] == [2, 18, 2]
    assert SEES_ALL[2].rule in seen["other_noise"].caught_by
    assert SEES_ALL[0].rule in seen["corrupt_tile"].caught_by
    assert SEES_ALL[1].rule in seen["truncation"].caught_by
    assert all(each.about for each in seen.values())


BLIND = {
    # a limit that is far too loose for one fault, and what then passes
    "other_noise": limit("signed_mean_diff", Scope.REFERENCE, subject="conversion", at_least=-0.1),
    "corrupt_tile": limit("relative_l2", Scope.REFERENCE, subject="latents", at_most=0.01),
    "truncation": limit("psnr_db", Scope.REFERENCE, at_least=45),
}


@pytest.mark.parametrize("fault", BLIND)
def test_a_fault_that_passes_is_named_with_every_picture_it_passes_on(fault: str, tmp_path: Path) -> None:
    seen = found(healthy(tmp_path / "cpu"), [BLIND[fault]])[fault]
    assert len(seen.missed) == seen.planted
    assert seen.missed[0].startswith("cup, seed 42")
    assert seen.caught_by == []


def test_without_limits_everything_passes(tmp_path: Path) -> None:
    assert all(len(each.missed) == each.planted for each in found(healthy(tmp_path / "cpu"), []).values())


def test_without_float_output_truncation_lowers_every_other_value(tmp_path: Path) -> None:
    stored = healthy(tmp_path / "cpu", float_image=False)
    narrow, wide = (limit("signed_mean_diff", Scope.REFERENCE, at_most=most) for most in (0.45, 0.55))
    assert found(stored, [narrow])["truncation"].missed == []
    assert found(stored, [wide])["truncation"].caught_by == []


# --- pairs of a calibration ------------------------------------------------------------------------------------------


def test_every_sample_is_held_against_the_first_and_none_against_itself(tmp_path: Path) -> None:
    disturbed = {"perturbation": Perturbation(kind=PerturbationKind.LATENT_ULP)}
    plain = stored_run(tmp_path / "cpu", {CUP: [[letter("A"), letter("A")]]})
    moved = stored_run(tmp_path / "cpu-latent-ulp", {CUP: [[letter("A"), letter("B")]]}, planned=disturbed)
    assert [(pair.actual, pair.expected) for pair in compare_samples(plain, plain)] == [("p0r1", "p0r0")]
    pairs = compare_samples(moved, plain)
    assert [(pair.actual, pair.identical) for pair in pairs] == [("p0r0", True), ("p0r1", False)]


def test_pairs_of_other_noise_say_nothing_and_are_refused(tmp_path: Path) -> None:
    actual, expected = single(tmp_path / "moved", Made(noise="another")), single(tmp_path / "cpu")
    with pytest.raises(RunError, match=r"cannot be compared with job/cpu: .*the noise differs"):
        compare_samples(actual, expected)


def test_pairs_of_another_model_say_nothing_of_rounding_even_where_it_is_meant(tmp_path: Path) -> None:
    meant = {"differs_in": {"model": "Another revision on purpose."}}
    actual = single(tmp_path / "moved", model=model_identity("other"), planned=meant)
    with pytest.raises(RunError, match=r"cannot be compared with job/cpu: the model differs"):
        compare_samples(actual, single(tmp_path / "cpu", planned=meant))
