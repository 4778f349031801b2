"""Plots: a figure that needs no display, and how it is saved."""

from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import MissingDependencyError
from edge_runtime.files import replacing

COLORS: Final = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5fb0", "#b8860b", "#555555")
DASHES: Final = ("-", "--", "-.", ":")  # colors alone do not tell lines apart for everybody


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches, without any global state.

    Raises
    ------
    MissingDependencyError
        Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "plots need Matplotlib: pip install 'edgeglyph[report]'"
        ) from None
    mpl.rcParams["svg.hashsalt"] = "edgeglyph"  # the same figure, the same file
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(path: Path, figure: Any) -> None:
    """Write an SVG that is the same for the same figure."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
