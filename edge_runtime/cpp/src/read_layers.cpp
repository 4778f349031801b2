#include "read_layers.h"

#include "error.h"
#include "json.h"
#include "preprocess.h"

namespace edgeglyph {
namespace {

constexpr int64_t max_side = 1 << 24, max_size = int64_t{1} << 28;

template <size_t count>
void numbers(const Json &list, int64_t low, int64_t high, int64_t (&out)[count]) {
    if (list.items().size() != count) refuse("a list has another length than it should");
    for (size_t i = 0; i < count; ++i) out[i] = list.items()[i].whole(low, high);
}

Activation activation_of(const Json &row) {
    static const char *const names[] = {"none", "relu", "relu6", "leaky_relu"};
    const Json *named = row.find("activation");
    if (!named) return row.at("relu").truth() ? Activation::relu : Activation::none;
    for (int i = 0; i < 4; ++i) {
        if (named->string() == names[i]) return static_cast<Activation>(i);
    }
    refuse("unknown activation '" + named->string() + "'");
}

Kind kind_of(const std::string &name) {
    static const char *const names[] = {"conv", "depthwise_conv", "avg_pool", "max_pool",
                                        "add",  "concat"};
    for (int i = 0; i < 6; ++i) {
        if (name == names[i]) return static_cast<Kind>(i);
    }
    refuse("unknown kind of layer '" + name + "'");
}

const int8_t *values_at(const Json &where, int64_t count, Bytes weights) {
    const int64_t offset = where.at("offset").whole(0, max_size);
    const int64_t size = static_cast<int64_t>(weights.size);
    if (count > size || offset > size - count) refuse("weights lie outside their section");
    return reinterpret_cast<const int8_t *>(weights.data) + offset;
}

void read_conv(const Json &row, Bytes weights, Layer &layer) {
    int64_t shape[4];
    numbers(row.at("weights").at("shape"), 1, max_size, shape);
    int64_t count = 1;
    for (int64_t n : shape) {
        if (n > max_size / count) refuse("weights lie outside their section");
        count *= n;
    }
    layer.out_channels = shape[0];
    layer.kernel[0] = shape[1], layer.kernel[1] = shape[2];
    layer.weight_channels = shape[3];
    layer.weights = values_at(row.at("weights"), count, weights);
    layer.bias = values_at(row.at("bias"), shape[0], weights);
    layer.shift = row.at("shift_cut").whole(-64, 64);
    layer.shift_bias = row.at("shift_bias").whole(-64, 64);
    if (const Json *output = row.find("output")) {
        layer.int32_output = output->string() == "int32";
        if (!layer.int32_output && output->string() != "int8") refuse("unknown output type");
    }
}

void read_sources(const Json &row, Layer &layer) {
    constexpr int64_t last = 1 << 20;
    if (layer.kind != Kind::add && layer.kind != Kind::concat) {
        layer.sources = {static_cast<int>(row.at("source").whole(-1, last))};
        return;
    }
    for (const Json &source : row.at("sources").items()) {
        layer.sources.push_back(static_cast<int>(source.whole(-1, last)));
    }
    const size_t count = layer.sources.size();
    if (layer.kind == Kind::add ? count != 2 : count < 2) refuse("wrong number of sources");
}

Layer read_layer(const Json &row, Bytes weights) {
    Layer layer;
    layer.name = row.at("name").string();
    layer.kind = kind_of(row.at("kind").string());
    layer.fix_point = static_cast<int>(row.at("fix_point").whole(-256, 256));
    read_sources(row, layer);
    if (layer.convolves()) {
        read_conv(row, weights, layer);
    } else if (layer.kind == Kind::avg_pool || layer.kind == Kind::max_pool) {
        numbers(row.at("kernel"), 1, max_side, layer.kernel);
    }
    if (layer.convolves() || layer.kind == Kind::add) layer.activation = activation_of(row);
    if (layer.kind != Kind::add && layer.kind != Kind::concat) {
        numbers(row.at("stride"), 1, max_side, layer.stride);
        if (layer.kind != Kind::avg_pool) numbers(row.at("pad"), 0, max_side, layer.pad);
    }
    if (!layer.convolves() && layer.kind != Kind::concat) {
        layer.shift = row.at("shift").whole(-1024, 1024);
    }
    if (layer.kind == Kind::avg_pool) {
        layer.multiplier = row.at("multiplier").whole(1, int64_t{1} << 54);
    }
    if (layer.kind == Kind::add) numbers(row.at("left_shifts"), 0, 64, layer.left_shifts);
    return layer;
}

}  // namespace

Network read_network(Bytes layers, Bytes weights) {
    const Json table = parse_json(layers);
    Network network;
    int64_t shape[3];
    numbers(table.at("input").at("shape"), 1, max_side, shape);
    network.input = {shape[0], shape[1], shape[2]};
    network.input_fix_point = static_cast<int>(table.at("input").at("fix_point").whole(-256, 256));
    if (!(network.input == Shape{input_side, input_side, 1}) ||
        network.input_fix_point != input_fix_point) {
        refuse("its input is not what preprocessing makes, 32×32×1 at fix point 7");
    }
    size_t number = 0;
    for (const Json &row : table.at("layers").items()) {
        try {
            network.layers.push_back(read_layer(row, weights));
        } catch (const Error &error) {
            const Json *name = row.find("name");
            refuse("layer " + (name ? name->text : std::to_string(number)) + ": " + error.message);
        }
        ++number;
    }
    check_network(network);
    return network;
}

}  // namespace edgeglyph
