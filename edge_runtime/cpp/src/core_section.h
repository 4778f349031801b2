// The section *core* of a bundle: a program and weights for the open core (docs/bundle.md).
#pragma once

#include <string>

#include "bytes.h"
#include "layers.h"

namespace edgeglyph {

struct CoreImage {
    std::string target;                          // the configuration's name
    uint32_t lanes = 0;                          // a core must have as many
    uint32_t weight_words = 0, activations = 0;  // and memories at least so deep
    bool resident = false;   // the weights stay on chip; else each image has them
    Bytes program, weights;  // nothing in a bundle that has no program

    bool given() const { return program.size > 0; }
};

// Take the section apart, which must outlive the image, and refuse what is not for `network`.
CoreImage read_core(Bytes section, const Network &network);

}  // namespace edgeglyph
