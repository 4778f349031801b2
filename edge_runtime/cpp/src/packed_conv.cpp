#include "packed_conv.h"

#include <algorithm>
#include <cstring>

#include "requantize.h"

namespace edgeglyph {
namespace {

constexpr Index alignment = 64;

Index rounded_up(Index value, Index unit) {
    return (value + unit - 1) / unit * unit;
}

Index index(int64_t value) {
    return static_cast<Index>(value);
}

// A stride longer than the map is never used; this keeps its multiples small.
Index used_stride(int64_t stride, int64_t outputs) {
    return outputs > 1 ? index(stride) : 1;
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
    const Channels &channels;
};

// All that the blocks of one run share.
struct PackedConv::Job {
    const Layer &layer;
    const int8_t *map;
    int8_t *windows;  // of one block, int8 [pixels][row_values_]
    int32_t *sums;    // of one block, int32 [pixels][channels]
    uint8_t *y;
    Index width, value_bytes, pixel_bytes;  // of the output
    Requantize requantize;

    // Where a block's pixel goes.
    uint8_t *output(const Block &block, Index i, Index j) const {
        const Index pixel = (block.rows.first + i) * width + block.columns.first + j;
        return y + pixel * pixel_bytes + block.channels.first * value_bytes;
    }
};

PackedConv::PackedConv(const Layer &layer, const Shape &in, int low, const MicroKernel &kernel)
    : kernel_(kernel),
      step_values_(4 * kernel.step),
      given_{index(in.height), index(in.width), index(in.channels)},
      output_{index(layer.output.height), index(layer.output.width), index(layer.out_channels)},
      taps_{index(layer.kernel[0]), index(layer.kernel[1])},
      stride_{used_stride(layer.stride[0], output_.height),
              used_stride(layer.stride[1], output_.width)},
      pad_{index(layer.pad[0]), index(layer.pad[1]), index(layer.pad[2]), index(layer.pad[3])},
      map_(given_) {
    choose_reading(layer, low);
    row_steps_ = row_values_ / step_values_;
    channel_steps_ = given_.channels / step_values_;
    for (Index first = 0; first < output_.channels; first += kernel.vectors * kernel.lanes) {
        const Index left = (output_.channels - first + kernel.lanes - 1) / kernel.lanes;
        const Index vectors = std::min<Index>(kernel.vectors, left);
        channels_.push_back({first, vectors * kernel.lanes, vectors});
    }
    pack_weights(layer);
    pack_bias(layer);
    careful_ =
        low < 0 && (kernel.exact == Exact::not_negative ||
                    (kernel.exact == Exact::small_pairs && has_large_pair(weights_, kernel)));
    const Index top = copied_ ? 0 : pad_[0], left = copied_ ? 0 : pad_[2];
    columns_ =
        cut_in_strips({taps_[1], stride_[1], left, map_.width, output_.width}, kernel.pixels);
    const Index rows = std::max<Index>(1, kernel.pixels / output_.width);
    rows_ = cut_in_strips({taps_[0], stride_[0], top, map_.height, output_.height}, rows);
    sums_bytes_ =
        sizeof(int32_t) * static_cast<size_t>(kernel.pixels * kernel.vectors * kernel.lanes);
}

void PackedConv::choose_reading(const Layer &layer, int low) {
    weight_rows_ = taps_[0];
    row_values_ = rounded_up(taps_[1] * given_.channels, step_values_);
    const bool offset = kernel_.exact == Exact::offset && low < 0;
    copied_ = given_.channels % step_values_ != 0 || offset;
    if (!copied_) return;
    flip_ = offset ? -128 : 0;
    map_.height += pad_[0] + pad_[1];
    map_.width += pad_[2] + pad_[3];
    map_bytes_ =
        static_cast<size_t>(rounded_up(map_.height * map_.row() + step_values_, alignment));
    const Index window = rounded_up(index(layer.kernel_values()), step_values_);
    gathered_ = window < weight_rows_ * row_values_ / 5 * 4;
    if (gathered_) {
        weight_rows_ = 1;
        row_values_ = window;
        window_bytes_ = static_cast<size_t>(rounded_up(kernel_.pixels * window + 4, alignment));
    }
}

void PackedConv::pack_weights(const Layer &layer) {
    const Index channels = rounded_up(output_.channels, kernel_.lanes);
    const Index given = index(layer.kernel_values()) / weight_rows_;  // values in a row
    const Index group = 4 * kernel_.lanes;
    weights_.reserve(static_cast<size_t>(channels * weight_rows_ * row_values_));
    for (const Channels &block : channels_) {
        const Index end = block.first + block.count;
        for (Index row = 0; row < weight_rows_; ++row) {
            for (Index step = 0; step < row_values_; step += step_values_) {
                for (Index vector = block.first; vector < end; vector += kernel_.lanes) {
                    for (Index i = 0; i < kernel_.step * group; ++i) {
                        const Index channel = vector + i % group / 4;
                        const Index value = step + i / group * 4 + i % 4;
                        const bool exists = channel < output_.channels && value < given;
                        const Index at = (channel * weight_rows_ + row) * given + value;
                        weights_.push_back(exists ? layer.weights[at] : int8_t{0});
                    }
                }
            }
        }
    }
}

void PackedConv::pack_bias(const Layer &layer) {
    bias_.assign(static_cast<size_t>(rounded_up(output_.channels, kernel_.lanes)), 0);
    const int64_t values = layer.kernel_values();
    for (int64_t o = 0; o < layer.out_channels; ++o) {
        int64_t sum = int64_t{layer.bias[o]} * (1 << layer.shift_bias);
        if (flip_ != 0) {  // every tap meets a value that is 128 too large, padding included
            for (int64_t i = 0; i < values; ++i) sum -= 128 * layer.weights[o * values + i];
        }
        bias_[static_cast<size_t>(o)] = static_cast<int32_t>(sum);
    }
}

void PackedConv::run(const Layer &layer, const int8_t *x, uint8_t *scratch, void *y) const {
    int8_t *map = reinterpret_cast<int8_t *>(scratch), *windows = map + map_bytes_;
    if (copied_) copy_map(x, map);
    const Index value_bytes = layer.int32_output ? 4 : 1;
    const Job job{layer,
                  copied_ ? map : x,
                  windows,
                  reinterpret_cast<int32_t *>(scratch + map_bytes_ + window_bytes_),
                  static_cast<uint8_t *>(y),
                  output_.width,
                  value_bytes,
                  value_bytes * output_.channels,
                  {static_cast<int32_t>(layer.shift), output_low(layer), output_high(layer)}};
    if (gathered_) return run_gathered(job);
    for (const Channels &channels : channels_) {  // whose weights stay in the cache meanwhile
        for (const Strip &rows : rows_.strips) {
            for (const Strip &columns : columns_.strips) run_block(job, {rows, columns, channels});
        }
    }
}

void PackedConv::run_gathered(const Job &job) const {
    std::fill_n(job.windows, window_bytes_, int8_t{0});
    for (const Strip &rows : rows_.strips) {
        for (const Strip &columns : columns_.strips) {
            gather(job, rows, columns);
            for (const Channels &channels : channels_) run_block(job, {rows, columns, channels});
        }
    }
}

void PackedConv::copy_map(const int8_t *x, int8_t *map) const {
    const Index row = given_.row();
    const Index left = pad_[2] * given_.channels, right = pad_[3] * given_.channels;
    int8_t *const end = map + map_bytes_;
    map = std::fill_n(map, pad_[0] * map_.row(), flip_);
    for (Index i = 0; i < given_.height; ++i, x += row) {
        map = std::fill_n(map, left, flip_);
        for (Index k = 0; k < row; ++k) map[k] = static_cast<int8_t>(x[k] ^ flip_);
        map = std::fill_n(map + row, right, flip_);
    }
    std::fill(map, end, flip_);
}

// Each window as one row. Values go four at a time: what is too much is written over by the next
// row, or meets weights of zero.
void PackedConv::gather(const Job &job, const Strip &rows, const Strip &columns) const {
    const Index row = map_.row(), wanted = taps_[1] * map_.channels;
    int8_t *window = job.windows;
    for (Index i = rows.first; i < rows.first + rows.size; ++i) {
        for (Index j = columns.first; j < columns.first + columns.size; ++j) {
            const int8_t *x = job.map + i * stride_[0] * row + j * stride_[1] * map_.channels;
            int8_t *to = window;
            for (Index tap = 0; tap < taps_[0]; ++tap, x += row, to += wanted) {
                for (Index k = 0; k < wanted; k += 4) std::memcpy(to + k, x + k, 4);
            }
            window += row_values_;
        }
    }
}

// Runs of taps that only some pixels have add to sums in memory. The one that all pixels have goes
// last, and finishes the outputs in registers.
void PackedConv::run_block(const Job &job, const Block &block) const {
    const std::vector<TapRun> &rows = rows_.runs[block.rows.runs];
    const std::vector<TapRun> &columns = columns_.runs[block.columns.runs];
    const Index pixels = block.rows.size * block.columns.size;
    const bool direct = job.layer.activation != Activation::leaky_relu &&
                        block.channels.first + block.channels.count <= output_.channels;
    bool begun = false, ended = false;
    for (const TapRun &r : rows) {
        for (const TapRun &c : columns) {
            const bool shared_by_all = r.size * c.size == pixels;
            if (!shared_by_all && !begun) {
                begin_sums(job, block, pixels);
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

void PackedConv::begin_sums(const Job &job, const Block &block, Index pixels) const {
    const int32_t *bias = bias_.data() + block.channels.first;
    int32_t *sums = job.sums;
    for (Index p = 0; p < pixels; ++p, sums += block.channels.count) {
        for (Index k = 0; k < block.channels.count; ++k) sums[k] = bias[k];
    }
}

void PackedConv::add_taps(const Job &job, const Block &block, const TapRun &rows,
                          const TapRun &columns, bool begun, bool ends) const {
    MicroCall call;
    const Index channels = block.channels.count;
    const int32_t *bias = bias_.data() + block.channels.first;
    const Index skipped = columns.first * map_.channels;  // of the kernel's row
    call.weight_row = row_values_ * channels;
    call.weights = weights_.data() + block.channels.first * weight_rows_ * row_values_ +
                   rows.first * call.weight_row + skipped * channels;
    call.x_row = map_.row();
    const int8_t *x_row;
    Index row_step, pixel_step;  // from an output's first value to that of the next
    if (gathered_) {
        call.rows = rows.count > 0 ? 1 : 0;
        call.steps = row_steps_;
        pixel_step = row_values_;
        row_step = block.columns.size * row_values_;
        x_row = job.windows;
    } else {
        const Index top = (block.rows.first + rows.from) * stride_[0] + rows.first;
        const Index left = (block.columns.first + columns.from) * stride_[1];
        call.rows = rows.count;
        call.steps = copied_ ? row_steps_ : columns.count * channel_steps_;
        pixel_step = stride_[1] * map_.channels;
        row_step = stride_[0] * call.x_row;
        x_row = job.map + top * call.x_row + left * map_.channels + skipped;
        if (!copied_) x_row -= pad_[0] * call.x_row + pad_[2] * map_.channels;
    }
    int used = 0;
    for (Index i = rows.from; i < rows.from + rows.size; ++i, x_row += row_step) {
        const int8_t *x = x_row;
        int32_t *sums = job.sums + (i * block.columns.size + columns.from) * channels;
        uint8_t *y = job.output(block, i, columns.from);
        for (Index j = 0; j < columns.size; ++j, ++used) {
            call.x[used] = x;
            call.from[used] = begun ? sums : bias;
            call.to[used] = ends ? y : reinterpret_cast<uint8_t *>(sums);
            x += pixel_step;
            sums += channels;
            y += job.pixel_bytes;
        }
    }
    kernel_.functions[careful_][used - 1][block.channels.vectors - 1](
        call, ends && !job.layer.int32_output ? &job.requantize : nullptr);
}

// What micro-kernels leave: LeakyReLU, and channels that do not fill a vector.
void PackedConv::finish_sums(const Job &job, const Block &block) const {
    const Index channels = std::min(block.channels.count, output_.channels - block.channels.first);
    const Finish finish(job.layer);
    const int32_t *sums = job.sums;
    for (Index i = 0; i < block.rows.size; ++i) {
        for (Index j = 0; j < block.columns.size; ++j, sums += block.channels.count) {
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
