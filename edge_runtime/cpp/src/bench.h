// --bench: how long opening, the network alone, and an image from its file's bytes take.
#pragma once

#include "options.h"

namespace edgeglyph {

// Print medians and 99th percentiles, as text or as JSON. Throws Error.
void bench(const Options &options);

}  // namespace edgeglyph
