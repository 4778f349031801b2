"""The exception tree of the whole project.

EdgeGlyphError
├── InputError            something the user gave cannot be used            exit code 2
│   ├── ImageError            an image file
│   ├── LabelError            a label, a class folder, a list of labels
│   ├── SourceError           an archive, a download, a data set's XML file
│   ├── BundleError           an .egb bundle
│   ├── GraphError            a frozen graph or an ONNX model
│   ├── SettingsError         a preset, an option
│   ├── VideoError            a video or a camera
│   └── DeploymentError       a board that cannot be reached, or cannot take what is sent
├── MissingDependencyError an optional package or tool is not installed     exit code 2
└── VerificationError     two things that must be equal are not             exit code 1

A message says what is wrong, where, and what to do about it, in one line.
"""


class EdgeGlyphError(Exception):
    """Root of every error that the project raises on purpose."""

    exit_code = 2


class InputError(EdgeGlyphError):
    """Something that the user gave cannot be used."""


class ImageError(InputError):
    """An image file that cannot be read."""


class LabelError(InputError):
    """A label outside the alphabet, a class without images, contradicting labels."""


class SourceError(InputError):
    """An archive, a download or a data set's description that cannot be used or trusted."""


class BundleError(InputError):
    """A bundle that is truncated, damaged or of an unknown version."""


class GraphError(InputError):
    """A network graph that lacks a node or holds an operator that we do not know."""


class SettingsError(InputError):
    """A preset or an option with an unknown key or an impossible value."""


class VideoError(InputError):
    """A video that cannot be read or written, a camera that gives no pictures."""


class DeploymentError(InputError):
    """A board that cannot be reached, is another one than was named, or lacks something."""


class MissingDependencyError(EdgeGlyphError):
    """An optional package that is needed here is not installed."""


class VerificationError(EdgeGlyphError):
    """Two computations that must agree do not."""

    exit_code = 1
