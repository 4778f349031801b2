#include "strips.h"

#include <algorithm>

namespace edgeglyph {
namespace {

std::vector<TapRun> runs_of(const Extent &e, Index first, Index size) {
    std::vector<TapRun> runs;
    const Index last = first + size - 1;
    const Index from_tap = std::max<Index>(0, e.pad - last * e.stride);
    const Index to_tap = std::min(e.taps, e.in + e.pad - first * e.stride);
    for (Index tap = from_tap; tap < to_tap; ++tap) {
        Index from = 0, to = size;  // outputs whose tap is on the map
        while (from < to && (first + from) * e.stride + tap < e.pad) ++from;
        while (from < to && (first + to - 1) * e.stride + tap >= e.in + e.pad) --to;
        if (from == to) continue;
        if (!runs.empty() && runs.back().from == from && runs.back().size == to - from) {
            ++runs.back().count;
        } else {
            runs.push_back({tap, 1, from, to - from});
        }
    }
    std::stable_partition(runs.begin(), runs.end(),
                          [size](const TapRun &run) { return run.size < size; });
    return runs;
}

}  // namespace

Axis cut_in_strips(const Extent &extent, Index most) {
    Axis axis;
    const Index count = (extent.out + most - 1) / most;
    Index first = 0;
    for (Index i = 0; i < count; ++i) {
        const Index size = extent.out / count + (i < extent.out % count ? 1 : 0);
        std::vector<TapRun> runs = runs_of(extent, first, size);
        if (axis.runs.empty() || axis.runs.back() != runs) axis.runs.push_back(std::move(runs));
        axis.strips.push_back({first, size, axis.runs.size() - 1});
        first += size;
    }
    return axis;
}

}  // namespace edgeglyph
