// Fuzz target: the image readers and preprocessing on any bytes.
#include "error.h"
#include "image.h"
#include "preprocess.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace edgeglyph;
    try {
        const Image image = decode_image({data, size}, "fuzz");
        if (image.pixels.size() != size_t{image.width} * image.height) __builtin_trap();
        int8_t input[input_side * input_side];
        preprocess(image.pixels.data(), image.width, image.height, image.width, input);
    } catch (const Error &) {
    }
    return 0;
}
