// A convolution prepared for a micro-kernel: weights packed, and which taps meet the map where.
#pragma once

#include <cstddef>
#include <vector>

#include "layers.h"
#include "micro_kernel.h"
#include "strips.h"

namespace edgeglyph {

class PackedConv {
public:
    // `low` is the smallest value that the input can have.
    PackedConv(const Layer &layer, const Shape &in, int low, const MicroKernel &kernel);

    size_t scratch_bytes() const { return map_bytes_ + window_bytes_ + sums_bytes_; }

    // As Kernels::conv; `layer` is the one packed, but its output may be int32 instead. `scratch`
    // is aligned to int32.
    void run(const Layer &layer, const int8_t *x, uint8_t *scratch, void *y) const;

private:
    struct Job;
    struct Block;
    struct Channels {
        Index first, count, vectors;  // output channels, rounded up to full vectors
    };
    struct Map {
        Index height, width, channels;

        Index row() const { return width * channels; }
    };

    void choose_reading(const Layer &layer, int low);
    void pack_weights(const Layer &layer);
    void pack_bias(const Layer &layer);
    void copy_map(const int8_t *x, int8_t *map) const;
    void run_gathered(const Job &job) const;
    void gather(const Job &job, const Strip &rows, const Strip &columns) const;
    void run_block(const Job &job, const Block &block) const;
    void begin_sums(const Job &job, const Block &block, Index pixels) const;
    void add_taps(const Job &job, const Block &block, const TapRun &rows, const TapRun &columns,
                  bool begun, bool ends) const;
    void finish_sums(const Job &job, const Block &block) const;

    const MicroKernel &kernel_;
    const Index step_values_;  // input values that a step of the micro-kernel takes
    const Map given_, output_;
    const Index taps_[2];
    Index stride_[2], pad_[4];  // top, bottom, left, right

    // Where values do not fill steps, or 128 must be added, the map is copied with its padding;
    // where rows of the kernel would waste steps, each window is gathered from the copy into one.
    bool copied_ = false, gathered_ = false, careful_ = false;
    int8_t flip_ = 0;                 // XORed with values when they are copied: -128 adds 128
    Map map_;                         // what is read: the input, or the copy
    Index weight_rows_, row_values_;  // of a kernel as packed; rows hold full steps

    Index row_steps_, channel_steps_;  // of a kernel row as packed; of one tap where not copied
    std::vector<Channels> channels_;
    std::vector<int8_t> weights_;  // blocks of [rows][steps][vectors][groups of 4][lanes][4]
    std::vector<int32_t> bias_;    // [out channels, rounded up to full vectors]
    Axis rows_, columns_;
    size_t map_bytes_ = 0, window_bytes_ = 0, sums_bytes_;
};

}  // namespace edgeglyph
