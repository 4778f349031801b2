// The layers of an integer network as a bundle states them. Maps are [height][width][channels].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edgeglyph {

enum class Kind { conv, depthwise_conv, avg_pool, max_pool, add, concat };  // numbers in checksums
enum class Activation { none, relu, relu6, leaky_relu };

struct Shape {
    int64_t height = 0, width = 0, channels = 0;

    int64_t values() const { return height * width * channels; }
    bool operator==(const Shape &other) const {
        return height == other.height && width == other.width && channels == other.channels;
    }
};

struct Layer {
    std::string name;
    Kind kind = Kind::conv;
    std::vector<int> sources;  // -1 is the network's input
    int fix_point = 0;         // of the output
    Activation activation = Activation::none;
    bool int32_output = false;  // the sums themselves are the output

    int64_t kernel[2] = {1, 1};       // height, width
    int64_t stride[2] = {1, 1};       // height, width
    int64_t pad[4] = {0, 0, 0, 0};    // top, bottom, left, right
    int64_t shift = 0;                // before the output; shift_cut of a convolution
    int64_t shift_bias = 0;           // of a convolution
    int64_t multiplier = 1;           // of an average pool
    int64_t left_shifts[2] = {0, 0};  // of an addition

    int64_t weight_channels = 0;      // of a kernel: the input's, or 1 where depthwise
    const int8_t *weights = nullptr;  // [out][kernel height][kernel width][weight_channels]
    const int8_t *bias = nullptr;     // [out]
    int64_t out_channels = 0;         // of a convolution

    Shape output;  // filled in by check_network

    bool convolves() const { return kind == Kind::conv || kind == Kind::depthwise_conv; }
    int64_t kernel_values() const { return kernel[0] * kernel[1] * weight_channels; }
};

struct Network {
    Shape input;
    int input_fix_point = 0;
    std::vector<Layer> layers;

    const Shape &shape(int index) const {
        return index < 0 ? input : layers[static_cast<size_t>(index)].output;
    }
    int fix_point(int index) const {
        return index < 0 ? input_fix_point : layers[static_cast<size_t>(index)].fix_point;
    }
    int64_t classes() const { return layers.back().output.channels; }
    bool int32_logits() const { return layers.back().int32_output; }
};

// Smallest and largest output integer of a layer.
int output_low(const Layer &layer);
int output_high(const Layer &layer);

struct Range {
    int low, high;
};

// What each layer can put out, as docs/bundle.md says it of probes; what is never negative stays so
// through pools and concatenations.
std::vector<Range> output_ranges(const Network &network);

// Of a layer's source: -1 is the network's input.
Range range_of(const std::vector<Range> &ranges, int source);

// What an image costs, taps in the padding included; of a pool or an addition, its additions.
int64_t multiply_adds(const Layer &layer);

// Work out every layer's output shape, and refuse what docs/bundle.md does not allow.
void check_network(Network &network);

}  // namespace edgeglyph
