"""A page to try a classifier on: draw, drop a file, paste, or use the camera.

``strokes`` (drawn lines to gray pixels) → ``answers`` (what the page shows, computed by the
recognizer) → ``server`` (HTTP on this computer alone) with ``page`` (one HTML document, put
together from page.html, page.css and page.js). The standard library's HTTP server suffices for
one page and two requests, and a board has it too.
"""
