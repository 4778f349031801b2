"""Characters drawn as they look when cut out of a photographed word, from fonts alone.

One image, in reading order: `glyphs` (cached ink of single symbols) → `lettering` (a symbol
between its neighbours, cropped) → `paint` (ink, outline, shadow, ground in gray levels) →
`camera` (slant, blur, resolution, noise, JPEG). `synthesizer` strings them together, `negatives`
draws what is NOT a character, `writing` writes fixed sets.
"""

from semi_supervised.synthesis.synthesizer import (
    FIRST_UNSEEN,
    Synthesizer,
    synthesizer_if_possible,
)

__all__ = ["FIRST_UNSEEN", "Synthesizer", "synthesizer_if_possible"]
