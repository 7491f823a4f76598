"""Quality against size as a picture, the same bytes for the same figures."""

import io


def quality_against_size(metrics: dict, max_loss: float) -> str:
    """SVG of each type of metrics/assess.json; the dashed line, where it is near, is what may be lost."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "quality", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
        types = sorted(metrics["types"].items(), key=lambda item: item[1]["bytes"])
        axes.plot(
            [t["bytes"] / 1e6 for _, t in types], [t["change_percent"] for _, t in types], color="lightgrey", zorder=1
        )
        shown: dict[tuple, list[str]] = {}
        for name, t in types:
            shown.setdefault((t["bytes"] / 1e6, t["change_percent"]), []).append(name)
        for point, names in shown.items():
            best = metrics["recommended"] in names
            axes.scatter(*point, color="tab:green" if best else "tab:blue", zorder=2)
            axes.annotate(
                " = ".join(names),
                point,
                (2, 5),
                textcoords="offset points",
                rotation=35,
                fontweight="bold" if best else "normal",
            )
        if max_loss < 2 * max(t["change_percent"] for _, t in types):  # else it would press all points together
            axes.axhline(max_loss, linestyle="--", color="tab:red", linewidth=1)
        axes.set(
            title=f"What a smaller file costs; in green the recommended {metrics['recommended']}",
            xlabel="file, million bytes",
            ylabel="bits per byte against float16, %",
        )
        axes.margins(x=0.15, y=0.6)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return text.getvalue()
