// The micro-kernels, a file each (micro_*.cpp). instruction_sets.cpp chooses among those that are
// compiled in.
#pragma once

#include "micro_kernel.h"

namespace edgeglyph {

extern const MicroKernel avx2_kernel, avx512vnni_kernel, neon_kernel, neon_dot_kernel;

}  // namespace edgeglyph
