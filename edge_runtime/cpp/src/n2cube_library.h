// The functions that the program needs of DNNDK's libn2cube.so, and the names that they go by.
#pragma once

#include <cstdint>
#include <string>

namespace edgeglyph {

// A kernel and a task are the library's own.
struct N2Cube {
    int (*open)();  // ends the process where there is no device
    int (*close)();
    void *(*load_kernel)(const char *name);
    int (*destroy_kernel)(void *kernel);
    void *(*create_task)(void *kernel, int mode);
    int (*destroy_task)(void *task);
    int (*run_task)(void *task);
    int (*set_input)(void *task, const char *node, int8_t *data, int size, int index);
    int (*get_output)(void *task, const char *node, int8_t *data, int size, int index);
    // What a kernel says of itself; nullptr in a library that lacks them.
    int (*input_size)(void *task, const char *node, int index);
    int (*output_size)(void *task, const char *node, int index);
    float (*input_scale)(void *task, const char *node, int index);
    float (*output_scale)(void *task, const char *node, int index);
};

// Load libn2cube.so for the rest of the process. Throws Error.
N2Cube load_n2cube();

// Print by which name the library file at `path`, of any processor, exports each function. Throws
// Error where it lacks one that is needed.
void check_n2cube(const std::string &path);

}  // namespace edgeglyph
