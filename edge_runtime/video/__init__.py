"""Fixed fields in a video: a meter's digits, a plate, a display, read frame by frame.

One frame goes through small files: `source` (file or camera to frames) → `geometry` (a field's own
pixels, upright) → `splitters` (where its characters are) → `layout` (the same cells as in the frame
before) → `engine` (the network, timed) → `smoothing` (evidence of several frames) → `reading` →
`overlay`, `sink` (the video) and `readings` (CSV or JSON lines). `fields`, `roi` and `fields_file`
say what a field is and how a user names it; `pipeline` is all steps of one frame, `run` the loop
over frames, `command` the command line.

OpenCV decodes and encodes; it is an optional dependency (`edgeglyph[video]`).
"""
