// Fuzz target: the JSON reader on any bytes.
#include "error.h"
#include "json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try {
        edgeglyph::parse_json({data, size});
    } catch (const edgeglyph::Error &) {
    }
    return 0;
}
