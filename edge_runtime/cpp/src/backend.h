// Which device runs the network: the CPU's engine, or a DPU that gives the same integers.
#pragma once

#include <memory>

#include "classifier.h"
#include "options.h"

namespace edgeglyph {

// Open the bundle, and the device that --backend asks for. With `auto` the CPU does the work where
// the DPU cannot, and one line on standard error says why. Throws Error.
std::unique_ptr<Classifier> open_with_backend(const Options &options);

}  // namespace edgeglyph
