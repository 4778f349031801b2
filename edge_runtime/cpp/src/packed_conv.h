// A convolution prepared for a micro-kernel: weights packed, and which taps meet the map where.
#pragma once

#include <cstddef>
#include <vector>

#include "layers.h"
#include "micro_kernel.h"

namespace edgeglyph {

// A run of neighbouring taps along one axis, and those outputs of a strip for which it lies on the
// map (counted from the strip's first).
struct TapRun {
    int64_t first, count, from, size;

    bool operator==(const TapRun &other) const {
        return first == other.first && count == other.count && from == other.from &&
               size == other.size;
    }
};

// Neighbouring outputs along one axis that are computed together.
struct Strip {
    int64_t first, size;
    size_t runs;  // index into Axis::runs
};

// The outputs along one axis. Taps that meet nothing but padding are in no run; the run that all
// outputs of a strip have, if there is one, is its last.
struct Axis {
    std::vector<Strip> strips;
    std::vector<std::vector<TapRun>> runs;
};

class PackedConv {
public:
    // `low` is the smallest value that the input can have.
    PackedConv(const Layer &layer, const Shape &in, int low, const MicroKernel &kernel);

    size_t scratch_bytes() const { return map_bytes_ + sums_bytes_; }

    // As Kernels::conv; `layer` is the one packed, but its output may be int32 instead.
    void run(const Layer &layer, const int8_t *x, uint8_t *scratch, void *y) const;

private:
    struct Job;
    struct Block;

    void pack(const Layer &layer);
    void copy_map(const Layer &layer, const int8_t *x, int8_t *map) const;
    void run_block(const Job &job, const Block &block) const;
    void add_taps(const Job &job, const Block &block, const TapRun &rows, const TapRun &columns,
                  bool begun, bool ends) const;
    void finish_sums(const Job &job, const Block &block) const;

    const MicroKernel &kernel_;
    const Shape given_, output_;
    Shape map_;  // what is read: the input, or a padded copy
    const int64_t taps_[2], stride_[2];
    int64_t pad_[2];  // top and left, of what is read
    bool copied_, careful_ = false;
    int8_t flip_ = 0;             // XORed with values when they are copied: -128 adds 128
    int64_t row_values_;          // of a kernel row, rounded up to full steps
    std::vector<int8_t> weights_;  // blocks of [rows][steps][vectors][groups of 4][lanes][4]
    std::vector<int32_t> bias_;    // [out channels, rounded up to full vectors]
    Axis rows_, columns_;
    size_t map_bytes_ = 0, sums_bytes_;
};

}  // namespace edgeglyph
