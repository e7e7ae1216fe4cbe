from sycoca.reports.comparing.run_overlay import overlaid_charts, row_style

FIRST = [
    {"step": 1, "contrastive": 4.0, "validation_contrastive": 5.0},
    {"step": 2, "contrastive": 2.0, "validation_contrastive": 3.0},
]
OTHER = [{"step": 1, "contrastive": 3.0, "lr": 0.1}, {"step": 3, "contrastive": 1.0, "lr": 0.2}]


def test_every_value_has_a_chart_with_a_line_for_every_run():
    charts = overlaid_charts({"coca": [FIRST], "report": [], "sycoca": [OTHER, FIRST]})
    assert [chart.title for chart in charts] == [
        "Contrastive loss, ITC: training",
        "Contrastive loss, ITC: held out",
        "Learning rate",
    ]
    training, held_out, rate = charts
    assert [(series.label, series.style) for series in training.series] == [
        ("coca", "run-1"),
        ("sycoca", "run-3"),
        ("sycoca", "run-3"),
    ]
    # The key has every row once, with the mean over its seeds.
    assert [(key.label, key.last) for key in training.keys] == [("coca", "2"), ("sycoca", "1.5")]
    assert [series.label for series in held_out.series] == ["coca", "sycoca"]
    assert [series.label for series in rate.series] == ["sycoca"]
    assert training.data["steps"] == [1.0, 2.0, 3.0]


def test_more_rows_than_colors_share_them():
    assert [row_style(number) for number in (0, 7, 8)] == ["run-1", "run-8", "run-1"]


def test_rows_without_runs_have_no_charts():
    assert overlaid_charts({"a": [], "b": []}) == []
