#include "n2cube_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "elf_exports.h"
#include "error.h"
#include "files.h"

namespace edgeglyph {
namespace {

constexpr size_t max_library_bytes = size_t{256} << 20;

// The library is C++: most functions have a C name only with the prefix pyc_, made for Python,
// which not every release has. DNNDK 2 exported plain C names.
struct Function {
    const char *name;
    bool needed;
    const char *mangled;  // as the Itanium C++ ABI has it
};

// In the order of N2Cube's members.
constexpr Function functions[] = {
    {"dpuOpen", true, "_Z7dpuOpenv"},
    {"dpuClose", true, "_Z8dpuClosev"},
    {"dpuLoadKernel", true, "_Z13dpuLoadKernelPKc"},
    {"dpuDestroyKernel", true, "_Z16dpuDestroyKernelP10dpu_kernel"},
    {"dpuCreateTask", true, "_Z13dpuCreateTaskP10dpu_kerneli"},
    {"dpuDestroyTask", true, "_Z14dpuDestroyTaskP8dpu_task"},
    {"dpuRunTask", true, "_Z10dpuRunTaskP8dpu_task"},
    {"dpuSetInputTensorInHWCInt8", true, "_Z26dpuSetInputTensorInHWCInt8P8dpu_taskPKcPaii"},
    {"dpuGetOutputTensorInHWCInt8", true, "_Z27dpuGetOutputTensorInHWCInt8P8dpu_taskPKcPaii"},
    {"dpuGetInputTensorSize", false, "_Z21dpuGetInputTensorSizeP8dpu_taskPKci"},
    {"dpuGetOutputTensorSize", false, "_Z22dpuGetOutputTensorSizeP8dpu_taskPKci"},
    {"dpuGetInputTensorScale", false, "_Z22dpuGetInputTensorScaleP8dpu_taskPKci"},
    {"dpuGetOutputTensorScale", false, "_Z23dpuGetOutputTensorScaleP8dpu_taskPKci"},
};

std::vector<std::string> names_of(const Function &function) {
    return {std::string("pyc_") + function.name, function.mangled, function.name};
}

[[noreturn]] void refuse_function(const std::string &library, const Function &function) {
    const std::vector<std::string> names = names_of(function);
    refuse(library + " lacks " + function.name + " (looked for " + names[0] + ", " + names[1] +
           ", " + names[2] + "); it is not DNNDK's runtime, or of a release that is not known");
}

// A function pointer out of the void* that dlsym returns.
template <typename Pointer>
void resolve(void *library, const Function &function, Pointer &pointer) {
    static_assert(sizeof(Pointer) == sizeof(void *), "POSIX");
    pointer = nullptr;
    for (const std::string &name : names_of(function)) {
        if (void *found = dlsym(library, name.c_str())) {
            std::memcpy(&pointer, &found, sizeof found);
            return;
        }
    }
    if (function.needed) refuse_function("libn2cube.so", function);
}

}  // namespace

N2Cube load_n2cube() {
    // Not unloaded again: it keeps threads and shared memory of its own.
    void *library = dlopen("libn2cube.so", RTLD_LAZY | RTLD_GLOBAL);
    if (!library) {
        const char *reason = dlerror();
        refuse("DNNDK's runtime cannot be loaded (" + std::string(reason ? reason : "no reason") +
               ")");
    }
    N2Cube found;
    const Function *next = functions;
    resolve(library, *next++, found.open);
    resolve(library, *next++, found.close);
    resolve(library, *next++, found.load_kernel);
    resolve(library, *next++, found.destroy_kernel);
    resolve(library, *next++, found.create_task);
    resolve(library, *next++, found.destroy_task);
    resolve(library, *next++, found.run_task);
    resolve(library, *next++, found.set_input);
    resolve(library, *next++, found.get_output);
    resolve(library, *next++, found.input_size);
    resolve(library, *next++, found.output_size);
    resolve(library, *next++, found.input_scale);
    resolve(library, *next++, found.output_scale);
    return found;
}

void check_n2cube(const std::string &path) {
    const std::vector<uint8_t> file = read_file(path, max_library_bytes, "no such file");
    const std::vector<std::string> exports = elf_exports({file.data(), file.size()}, path);
    const Function *missing = nullptr;
    for (const Function &function : functions) {
        std::string by;
        for (const std::string &name : names_of(function)) {
            if (by.empty() && std::find(exports.begin(), exports.end(), name) != exports.end()) {
                by = name;
            }
        }
        if (by.empty() && function.needed && !missing) missing = &function;
        const char *absent = function.needed ? "MISSING" : "missing; the program can do without";
        std::printf("%-28s %s\n", function.name, by.empty() ? absent : by.c_str());
    }
    if (missing) refuse_function(path, *missing);
}

}  // namespace edgeglyph
