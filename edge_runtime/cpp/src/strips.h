// Which taps of a kernel lie on the map for which outputs, along one axis at a time.
#pragma once

#include <cstddef>
#include <vector>

namespace edgeglyph {

using Index = ptrdiff_t;  // fast on 32-bit processors; maps and weights are far below 2^31 values

// A run of neighbouring taps, and those outputs of a strip for which it lies on the map (counted
// from the strip's first).
struct TapRun {
    Index first, count, from, size;

    bool operator==(const TapRun &other) const {
        return first == other.first && count == other.count && from == other.from &&
               size == other.size;
    }
};

// Neighbouring outputs that are computed together.
struct Strip {
    Index first, size;
    size_t runs;  // index into Axis::runs
};

// The outputs along one axis. Taps that meet nothing but padding are in no run; the run that all
// outputs of a strip have, if there is one, is its last.
struct Axis {
    std::vector<Strip> strips;
    std::vector<std::vector<TapRun>> runs;
};

// Along one axis: the kernel, the map, and what is computed of it.
struct Extent {
    Index taps, stride, pad, in, out;
};

// Strips of nearly equal size, at most `most`.
Axis cut_in_strips(const Extent &extent, Index most);

}  // namespace edgeglyph
