import pytest

from sycoca.reports.axes import nice_ticks
from sycoca.reports.charts import HEIGHT, WIDTH, Chart, smoothed
from sycoca.reports.curves import Curve, curves_of, draw_charts, points_of

LINES = [
    {"step": 10, "contrastive": 4.0, "validation_mask_coverage": 0.5},
    {"step": 20, "contrastive": 2.0, "validation_contrastive": 3.0, "validation_mask_coverage": 0.8},
    {"step": 40, "contrastive": None},
]


def test_draws_only_logged_values():
    losses, coverage = draw_charts(LINES, curves_of("pretraining", LINES))
    assert (losses.title, coverage.title) == ("Contrastive loss, ITC", "Mask coverage")
    assert [series.label for series in losses.series] == ["training", "held out"]
    assert [series.label for series in coverage.series] == ["held out"]
    assert coverage.series[0].last == "80 %"
    assert losses.description == "Contrastive loss, ITC: training 2 at the end, held out 3 at the end"
    assert draw_charts([{"step": 1}], curves_of("pretraining", [])) == []


def test_training_and_held_out_captioning_are_compared_under_the_same_masks():
    lines = [
        {"step": step, "captioning": 1.0, "validation_captioning": 3.0, "validation_masked_captioning": 2.0}
        for step in (1, 2)
    ]
    masked, as_used = draw_charts(lines, curves_of("pretraining", lines))
    assert masked.title == "Captioning loss, IC, masked as in training"
    assert [(series.label, series.last) for series in masked.series] == [("training", "1"), ("held out", "2")]
    assert as_used.title == "Captioning loss, IC, all patches visible"
    assert [(series.label, series.last) for series in as_used.series] == [("held out", "3")]


def test_mask_coverage_is_drawn_beside_the_baseline_without_a_caption():
    lines = [
        {"step": step, "validation_mask_coverage": 0.8, "validation_mask_coverage_no_caption": 0.75} for step in (1, 2)
    ]
    (chart,) = draw_charts(lines, curves_of("pretraining", lines))
    assert [(series.label, series.last) for series in chart.series] == [("held out", "80 %"), ("no caption", "75 %")]


def test_positions_correspond_to_values():
    (chart,) = draw_charts(LINES, [Curve(title="loss", training="contrastive", validation="validation_contrastive")])
    # Steps 0 to 20 over the width, values 0 to 4 over the height, from below.
    assert chart.series[0].path == f"M{WIDTH / 2:g},0L{WIDTH:g},{HEIGHT / 2:g}"
    assert chart.series[1].dots == ((WIDTH, 37.5, "step 20: 3"),)
    assert [(tick.position, tick.label) for tick in chart.x_ticks] == [
        (0, "0"), (80, "5"), (160, "10"), (240, "15"), (320, "20"),
    ]  # fmt: skip
    assert [(tick.position, tick.label) for tick in chart.y_ticks] == [
        (150, "0"), (112.5, "1"), (75, "2"), (37.5, "3"), (0, "4"),
    ]  # fmt: skip


def chart_of(values: list[float], **options: object) -> Chart:
    lines = [{"step": step, "a": value} for step, value in enumerate(values, start=1)]
    (chart,) = draw_charts(lines, [Curve(title="a", training="a", axis="loss", **options)])
    return chart


def test_axes_are_labeled_and_start_at_zero_or_say_so():
    falling, flat, negative = chart_of([4.0, 3.0]), chart_of([4.0, 3.9]), chart_of([-1.0, 1.0])
    assert (falling.x_label, falling.y_label, falling.y_ticks[0].label) == ("steps", "loss", "0")
    assert flat.y_label == negative.y_label == "loss (axis does not start at 0)"
    assert float(flat.y_ticks[0].label) <= 3.9
    assert float(flat.y_ticks[0].label) > 3
    assert negative.y_ticks[0].label.startswith("-1")


def test_small_values_are_labeled_in_a_power_of_ten():
    chart = chart_of([1e-5, 0.5e-5, 2.47e-12])
    assert chart.y_label == "loss in 10\u207b\u2075"
    assert [tick.label for tick in chart.y_ticks] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert chart.series[0].last == "0"  # nothing beside the largest
    assert chart_of([1e-5, 0.5e-5]).series[0].last == "5 \u00d7 10\u207b\u2076"


def test_a_single_point_is_no_curve():
    assert draw_charts([{"step": 5, "validation_cider": 0.5}], [Curve(title="c", validation="validation_cider")]) == []
    lines = [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0, "validation_a": 1.5}]
    (chart,) = draw_charts(lines, [Curve(title="a", training="a", validation="validation_a")])
    assert [series.label for series in chart.series] == ["training", "held out"]


def test_fractions_are_percent_with_the_axis_from_zero():
    (chart,) = draw_charts(LINES, [Curve(title="c", validation="validation_mask_coverage", is_percent=True)])
    assert [tick.label for tick in chart.y_ticks] == ["0 %", "20 %", "40 %", "60 %", "80 %"]


def test_long_training_curves_are_smoothed_with_raw_values_in_the_background():
    lines = [{"step": step, "lr": float(step % 2)} for step in range(1, 31)]
    (chart,) = draw_charts(lines, [Curve(title="noise", training="lr")])
    assert chart.series[0].raw_path.count("L") == chart.series[0].path.count("L") == 29
    assert chart.series[0].raw_path != chart.series[0].path
    (exact,) = draw_charts(lines, [Curve(title="lr", training="lr", is_noisy=False)])
    assert exact.series[0].raw_path == ""
    assert exact.series[0].path.endswith(f"{WIDTH},{HEIGHT}")
    (short,) = draw_charts(lines[:10], [Curve(title="lr", training="lr")])
    assert short.series[0].raw_path == ""


def test_the_moving_average_starts_at_the_first_value():
    assert smoothed([(1.0, 3.0), (2.0, 3.0)]) == [(1, pytest.approx(3.0)), (2, pytest.approx(3.0))]
    # Weights 0.7 x 0.3 and 0.3, over their sum.
    assert smoothed([(1.0, 0.0), (2.0, 1.7)])[1] == (2, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 100.0, [0, 25, 50, 75, 100]),
        (0.3, 3.1, [0, 1, 2, 3, 4]),
        (0.0, 0.002, [0.0, 0.0005, 0.001, 0.0015, 0.002]),
        (-0.5, 0.5, [-0.5, -0.25, 0, 0.25, 0.5]),
    ],
)
def test_ticks_are_round_and_enclose_the_range(low: float, high: float, ticks: list[float]):
    assert nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, 1e-12, 1e12])
def test_a_constant_curve_is_drawn(value: float):
    (chart,) = draw_charts([{"step": 1, "lr": value}, {"step": 2, "lr": value}], [Curve(title="lr", training="lr")])
    assert len(chart.y_ticks) >= 2
    assert "nan" not in chart.series[0].path


def test_non_finite_values_are_left_out():
    assert points_of([{"step": 1, "a": None}, {"step": 2, "a": 1.0}, {"step": None, "a": 2.0}], "a") == [(2, 1.0)]
    assert points_of([{"step": 1, "a": 1.0}], None) == []
