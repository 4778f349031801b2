// From here to target_end.h functions are compiled for the processors that EDGEGLYPH_TARGET says,
// whatever the command line says. Included on purpose more than once: no #pragma once. Headers of
// the C++ library come before this, so that none of their functions is compiled so.
#if defined(__clang__)
#define EDGEGLYPH_ATTRIBUTE __attribute__((target(EDGEGLYPH_TARGET)))
#pragma clang attribute push(EDGEGLYPH_ATTRIBUTE, apply_to = function)
#else
#define EDGEGLYPH_PRAGMA(text) _Pragma(#text)
#define EDGEGLYPH_GCC_TARGET(names) EDGEGLYPH_PRAGMA(GCC target(names))
#pragma GCC push_options
EDGEGLYPH_GCC_TARGET(EDGEGLYPH_TARGET)
#endif
