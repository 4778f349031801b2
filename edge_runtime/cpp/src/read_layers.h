// From the sections *layers* and *weights* of a bundle to a checked network.
#pragma once

#include "bytes.h"
#include "layers.h"

namespace edgeglyph {

// The network's weights point into `weights`, which must outlive it.
Network read_network(Bytes layers, Bytes weights);

}  // namespace edgeglyph
