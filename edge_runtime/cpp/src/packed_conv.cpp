#include "packed_conv.h"

#include <algorithm>
#include <cstring>

#include "requantize.h"

namespace edgeglyph {
namespace {

constexpr int64_t alignment = 64;

int64_t rounded_up(int64_t value, int64_t unit) {
    return (value + unit - 1) / unit * unit;
}

// Along one axis: the kernel, the map, and what is computed of it.
struct Extent {
    int64_t taps, stride, pad, in, out;
};

std::vector<TapRun> runs_of(const Extent &e, int64_t first, int64_t size) {
    std::vector<TapRun> runs;
    const int64_t last = first + size - 1;
    const int64_t from_tap = std::max<int64_t>(0, e.pad - last * e.stride);
    const int64_t to_tap = std::min(e.taps, e.in + e.pad - first * e.stride);
    for (int64_t tap = from_tap; tap < to_tap; ++tap) {
        int64_t from = 0, to = size;  // outputs whose tap is on the map
        while (from < to && (first + from) * e.stride + tap < e.pad) ++from;
        while (from < to && (first + to - 1) * e.stride + tap >= e.in + e.pad) --to;
        if (from == to) continue;
        if (!runs.empty() && runs.back().from == from && runs.back().size == to - from &&
            runs.back().first + runs.back().count == tap) {
            ++runs.back().count;
        } else {
            runs.push_back({tap, 1, from, to - from});
        }
    }
    std::stable_partition(runs.begin(), runs.end(),
                          [size](const TapRun &run) { return run.size < size; });
    return runs;
}

// Strips of nearly equal size, at most `most`.
Axis axis_of(const Extent &extent, int64_t most) {
    Axis axis;
    const int64_t count = (extent.out + most - 1) / most;
    int64_t first = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t size = extent.out / count + (i < extent.out % count ? 1 : 0);
        std::vector<TapRun> runs = runs_of(extent, first, size);
        if (axis.runs.empty() || axis.runs.back() != runs) axis.runs.push_back(std::move(runs));
        axis.strips.push_back({first, size, axis.runs.size() - 1});
        first += size;
    }
    return axis;
}

// Whether products of two pairs 4 values apart may leave 16 bits.
bool has_large_pair(const std::vector<int8_t> &weights, const MicroKernel &kernel) {
    const size_t group = static_cast<size_t>(4 * kernel.lanes);
    for (size_t i = 0; i + group < weights.size(); ++i) {
        if (i / group % 2 == 0 && weights[i] == -128 && weights[i + group] == -128) return true;
    }
    return false;
}

}  // namespace

// What is computed together: a few pixels and channels.
struct PackedConv::Block {
    const Strip &rows, &columns;
    int64_t first, channels;  // rounded up to full vectors
};

// All that the blocks of one run share.
struct PackedConv::Job {
    const Layer &layer;
    const int8_t *map;
    int32_t *sums;  // of one block, int32 [pixels][channels]
    uint8_t *y;
    int64_t width, value_bytes, pixel_bytes;  // of the output
    Requantize requantize;

    // Where a block's pixel goes.
    uint8_t *output(const Block &block, int64_t i, int64_t j) const {
        const int64_t pixel = (block.rows.first + i) * width + block.columns.first + j;
        return y + pixel * pixel_bytes + block.first * value_bytes;
    }
};

PackedConv::PackedConv(const Layer &layer, const Shape &in, int low, const MicroKernel &kernel)
    : kernel_(kernel),
      given_(in),
      output_(layer.output),
      map_(in),
      taps_{layer.kernel[0], layer.kernel[1]},
      stride_{layer.stride[0], layer.stride[1]} {
    const int64_t step_values = 4 * kernel.step;
    const bool offset = kernel.exact == Exact::offset && low < 0;
    copied_ = in.channels % step_values != 0 || offset;
    row_values_ = rounded_up(taps_[1] * in.channels, step_values);
    if (copied_) {
        flip_ = offset ? -128 : 0;
        const int64_t *pad = layer.pad;
        map_ = {in.height + pad[0] + pad[1], in.width + pad[2] + pad[3], in.channels};
        map_bytes_ = static_cast<size_t>(rounded_up(map_.values() + step_values, alignment));
    }
    pack(layer);
    careful_ = low < 0 && (kernel.exact == Exact::not_negative ||
                           (kernel.exact == Exact::small_pairs && has_large_pair(weights_, kernel)));
    pad_[0] = copied_ ? 0 : layer.pad[0];
    pad_[1] = copied_ ? 0 : layer.pad[2];
    columns_ = axis_of({taps_[1], stride_[1], pad_[1], map_.width, output_.width}, kernel.pixels);
    const int64_t most_rows =
        columns_.strips.size() == 1 ? std::max<int64_t>(1, kernel.pixels / output_.width) : 1;
    rows_ = axis_of({taps_[0], stride_[0], pad_[0], map_.height, output_.height}, most_rows);
    sums_bytes_ = sizeof(int32_t) *
                  static_cast<size_t>(kernel.pixels * kernel.vectors * kernel.lanes);
}

void PackedConv::pack(const Layer &layer) {
    const int64_t channels = rounded_up(output_.channels, kernel_.lanes);
    const int64_t row_given = taps_[1] * given_.channels;
    weights_.reserve(static_cast<size_t>(channels * taps_[0] * row_values_));
    const int64_t block = kernel_.vectors * kernel_.lanes;
    for (int64_t first = 0; first < channels; first += block) {
        const int64_t end = std::min(channels, first + block);
        for (int64_t row = 0; row < taps_[0]; ++row) {
            for (int64_t step = 0; step < row_values_; step += 4 * kernel_.step) {
                for (int64_t vector = first; vector < end; vector += kernel_.lanes) {
                    for (int64_t i = 0; i < 4 * kernel_.step * kernel_.lanes; ++i) {
                        const int64_t group = i / (4 * kernel_.lanes);
                        const int64_t channel = vector + i / 4 % kernel_.lanes;
                        const int64_t value = step + 4 * group + i % 4;
                        const bool exists = channel < output_.channels && value < row_given;
                        const int64_t at = (channel * taps_[0] + row) * row_given + value;
                        weights_.push_back(exists ? layer.weights[at] : int8_t{0});
                    }
                }
            }
        }
    }
    bias_.assign(static_cast<size_t>(channels), 0);
    for (int64_t o = 0; o < output_.channels; ++o) {
        int64_t sum = int64_t{layer.bias[o]} * (1 << layer.shift_bias);
        const int8_t *weights = layer.weights + o * layer.kernel_values();
        for (int64_t i = 0; flip_ != 0 && i < layer.kernel_values(); ++i) sum -= 128 * weights[i];
        bias_[static_cast<size_t>(o)] = static_cast<int32_t>(sum);
    }
}

void PackedConv::copy_map(const Layer &layer, const int8_t *x, int8_t *map) const {
    const int64_t row = given_.width * given_.channels;
    const int64_t left = layer.pad[2] * given_.channels, right = layer.pad[3] * given_.channels;
    int8_t *const end = map + map_bytes_;
    map = std::fill_n(map, layer.pad[0] * (left + row + right), flip_);
    for (int64_t i = 0; i < given_.height; ++i, x += row) {
        map = std::fill_n(map, left, flip_);
        for (int64_t k = 0; k < row; ++k) map[k] = static_cast<int8_t>(x[k] ^ flip_);
        map = std::fill_n(map + row, right, flip_);
    }
    std::fill(map, end, flip_);
}

void PackedConv::run(const Layer &layer, const int8_t *x, uint8_t *scratch, void *y) const {
    if (copied_) copy_map(layer, x, reinterpret_cast<int8_t *>(scratch));
    const int64_t value_bytes = layer.int32_output ? 4 : 1;
    const Job job{layer,
                  copied_ ? reinterpret_cast<const int8_t *>(scratch) : x,
                  reinterpret_cast<int32_t *>(scratch + map_bytes_),
                  static_cast<uint8_t *>(y),
                  output_.width,
                  value_bytes,
                  value_bytes * output_.channels,
                  {static_cast<int32_t>(layer.shift), output_low(layer), output_high(layer)}};
    const int64_t most = kernel_.vectors * kernel_.lanes;
    for (int64_t first = 0; first < output_.channels; first += most) {
        const int64_t channels = std::min(most, rounded_up(output_.channels - first, kernel_.lanes));
        for (const Strip &rows : rows_.strips) {
            for (const Strip &columns : columns_.strips) {
                run_block(job, {rows, columns, first, channels});
            }
        }
    }
}

// Runs of taps that only some pixels have add to sums in memory. The one that all pixels have goes
// last, and finishes the outputs in registers.
void PackedConv::run_block(const Job &job, const Block &block) const {
    const std::vector<TapRun> &rows = rows_.runs[block.rows.runs];
    const std::vector<TapRun> &columns = columns_.runs[block.columns.runs];
    const int64_t pixels = block.rows.size * block.columns.size;
    const bool direct = job.layer.activation != Activation::leaky_relu &&
                        block.first + block.channels <= output_.channels;
    bool begun = false, ended = false;
    for (const TapRun &r : rows) {
        for (const TapRun &c : columns) {
            const bool shared_by_all = r.size * c.size == pixels;
            if (!shared_by_all && !begun) {
                for (int64_t p = 0; p < pixels; ++p) {
                    std::copy_n(bias_.data() + block.first, block.channels,
                                job.sums + p * block.channels);
                }
                begun = true;
            }
            ended = shared_by_all;
            add_taps(job, block, r, c, begun, ended && direct);
        }
    }
    if (!ended) {  // no products, but an end
        add_taps(job, block, {0, 0, 0, block.rows.size}, {0, 0, 0, block.columns.size}, begun,
                 direct);
    }
    if (!direct) finish_sums(job, block);
}

void PackedConv::add_taps(const Job &job, const Block &block, const TapRun &rows,
                          const TapRun &columns, bool begun, bool ends) const {
    const int64_t values = columns.first * map_.channels;  // of the kernel's row, passed over
    MicroCall call;
    call.weight_row = static_cast<ptrdiff_t>(row_values_ * block.channels);
    call.weights = weights_.data() + block.first * taps_[0] * row_values_ +
                   rows.first * call.weight_row + values * block.channels;
    call.x_row = static_cast<ptrdiff_t>(map_.width * map_.channels);
    call.rows = rows.count;
    call.steps = (copied_ ? row_values_ : columns.count * map_.channels) / (4 * kernel_.step);
    const int64_t top = (block.rows.first + rows.from) * stride_[0] - pad_[0] + rows.first;
    const int64_t left = (block.columns.first + columns.from) * stride_[1] - pad_[1];
    const int8_t *x_row = job.map + top * call.x_row + left * map_.channels + values;
    int used = 0;
    for (int64_t i = rows.from; i < rows.from + rows.size; ++i) {
        const int8_t *x = x_row;
        int32_t *sums = job.sums + (i * block.columns.size + columns.from) * block.channels;
        uint8_t *y = job.output(block, i, columns.from);
        for (int64_t j = 0; j < columns.size; ++j, ++used) {
            call.x[used] = x;
            call.from[used] = begun ? sums : bias_.data() + block.first;
            call.to[used] = ends ? y : reinterpret_cast<uint8_t *>(sums);
            x += stride_[1] * map_.channels;
            sums += block.channels;
            y += job.pixel_bytes;
        }
        x_row += stride_[0] * call.x_row;
    }
    const int64_t vectors = block.channels / kernel_.lanes;
    kernel_.functions[careful_][used - 1][vectors - 1](
        call, ends && !job.layer.int32_output ? &job.requantize : nullptr);
}

// What micro-kernels leave: LeakyReLU, and channels that do not fill a vector.
void PackedConv::finish_sums(const Job &job, const Block &block) const {
    const int64_t channels = std::min(block.channels, output_.channels - block.first);
    const Finish finish(job.layer);
    const int32_t *sums = job.sums;
    for (int64_t i = 0; i < block.rows.size; ++i) {
        for (int64_t j = 0; j < block.columns.size; ++j, sums += block.channels) {
            uint8_t *y = job.output(block, i, j);
            if (job.layer.int32_output) {
                std::memcpy(y, sums, static_cast<size_t>(4 * channels));
            } else {
                std::transform(sums, sums + channels, reinterpret_cast<int8_t *>(y), finish);
            }
        }
    }
}

}  // namespace edgeglyph
