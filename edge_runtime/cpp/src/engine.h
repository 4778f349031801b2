// Runs an integer network in one block of memory whose size is known before the first image.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "bytes.h"
#include "kernels.h"
#include "layers.h"
#include "packed_conv.h"

namespace edgeglyph {

size_t output_bytes(const Layer &layer);

class Engine {
public:
    // Called after each layer with its number and its output's bytes.
    using Observer = void (*)(void *context, size_t layer, Bytes output);

    // `network` must outlive this.
    Engine(const Network &network, const Kernels &kernels);

    const Kernels &kernels() const { return kernels_; }

    // Compute layer `index`, or a variant of it: `layer` may put out other than what the network
    // says. `inputs` are those of its sources; `output` is int8, or int32 where `layer` says so,
    // and overlaps none of them. `scratch` holds scratch_bytes(index), aligned as malloc does.
    void run_layer(size_t index, const Layer &layer, const int8_t *const *inputs, uint8_t *scratch,
                   uint8_t *output) const;
    size_t scratch_bytes(size_t index) const;

    // Bytes that run() works in, aligned to 64: all maps that live at one time, and scratch.
    size_t arena_bytes() const { return arena_bytes_; }

    // `input` int8 [32][32][1]; `logits` receives one number for each class. Allocates nothing.
    void run(const int8_t *input, uint8_t *arena, int32_t *logits, Observer observer = nullptr,
             void *context = nullptr) const;

private:
    void pack();
    void plan();
    void run_in_place(size_t index, const int8_t *input, uint8_t *arena) const;

    const Network &network_;
    const Kernels kernels_;
    std::vector<std::unique_ptr<PackedConv>> packed_;  // of each layer that a micro-kernel runs
    std::vector<size_t> offsets_;                      // of each layer's output in the arena
    std::vector<Shape> shapes_;  // of the inputs of all layers, one after another
    std::vector<size_t> first_;  // of a layer's inputs in shapes_
    size_t pointers_offset_ = 0, scratch_offset_ = 0, arena_bytes_ = 0;
};

}  // namespace edgeglyph
