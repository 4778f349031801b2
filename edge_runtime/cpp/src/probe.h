// A layer's answer to a map of noise: convolutions by their sums before any rounding, so that a
// weight changed by one, in the file or in how a kernel has packed it, is never rounded away.
#pragma once

#include "engine.h"

namespace edgeglyph {

// CRC-32 of what layer `index` makes of its probe (docs/bundle.md). Allocates its own maps.
uint32_t probe(const Network &network, const Engine &engine, size_t index);

}  // namespace edgeglyph
