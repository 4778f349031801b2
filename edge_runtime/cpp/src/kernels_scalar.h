// The functions of scalar_kernels, a file each for convolutions, depthwise ones and the rest.
#pragma once

#include "kernels.h"

namespace edgeglyph {

void scalar_conv(const Layer &layer, const Shape &in, const int8_t *x, int16_t *scratch, void *y);
void scalar_depthwise(const Layer &layer, const Shape &in, const int8_t *x, void *y);
void scalar_avg_pool(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y);
void scalar_max_pool(const Layer &layer, const Shape &in, const int8_t *x, int8_t *y);
void scalar_add(const Layer &layer, const int8_t *a, const int8_t *b, int8_t *y);

// The part of a kernel window that lies on the map, for kernels that pass over its padding.
struct Taps {
    int64_t row_from, row_to, column_from, column_to;  // on the map
    int64_t top, left;                                 // of the whole window; may be negative

    Taps(const Layer &layer, const Shape &in, int64_t i, int64_t j);
};

}  // namespace edgeglyph
