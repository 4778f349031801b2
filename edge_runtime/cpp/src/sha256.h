// SHA-256 (FIPS 180-4), by which a bundle names its DPU kernel.
#pragma once

#include <string>

#include "bytes.h"

namespace edgeglyph {

// 64 hexadecimal digits.
std::string sha256(Bytes bytes);

}  // namespace edgeglyph
