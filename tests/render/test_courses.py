"""A number from job to job is drawn where it is, with gaps where there is none and the limit of each job."""

from __future__ import annotations

import math

from harness.render._courses import Course, Value, course


def drawn(numbers: list[float | None], bounds: list[float | None]) -> Course | None:
    values = [
        Value(number=number, bound=bound, tone="good", words="") for number, bound in zip(numbers, bounds, strict=True)
    ]
    return course("PSNR", "", values, [2])


def test_higher_numbers_are_drawn_higher_and_jobs_from_left_to_right() -> None:
    found = drawn([40, 44, 42], [None, None, None])
    assert found is not None
    (line,) = found.lines
    assert line[1].y < line[2].y < line[0].y
    assert line[0].x < line[1].x < line[2].x
    assert [tick.label for tick in found.y_ticks] == ["40", "41", "42", "43", "44"]
    assert [tick.at for tick in found.changes] == [line[1].x]


def test_a_job_without_a_number_interrupts_the_line() -> None:
    found = drawn([40, None, 42], [None, None, None])
    assert found is not None
    assert [len(line) for line in found.lines] == [1, 1]


def test_infinity_is_drawn_at_the_edge_and_stretches_no_axis() -> None:
    found = drawn([40, math.inf, 42], [38, 38, 38])
    assert found is not None
    assert found.lines[0][1].y == found.top
    assert {tick.label for tick in found.y_ticks} == {"38", "39", "40", "41", "42"}


def test_each_job_has_its_own_limit_as_a_level_line() -> None:
    found = drawn([40, 41, 42], [38, None, 45])
    assert found is not None
    assert len(found.bounds) == 2
    assert all(line[0].y == line[1].y for line in found.bounds)
    assert found.bounds[1][0].y < found.bounds[0][0].y


def test_a_number_that_never_moves_has_room_around_it() -> None:
    found = drawn([0, 0], [None, None])
    assert found is not None
    assert found.top < found.lines[0][0].y < found.bottom


def test_nothing_finite_is_no_drawing() -> None:
    assert drawn([math.inf, None], [None, None]) is None
