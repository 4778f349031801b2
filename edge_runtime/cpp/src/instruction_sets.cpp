// Which inner loops there are, and which this processor can run.
#include "instruction_sets.h"

#include "error.h"
#include "kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace edgeglyph {
namespace {

#if defined(__x86_64__)
// The compilers' tests include that the system keeps these registers (xgetbv).
bool has_avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}

bool has_avx512vnni() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
bool has_dot_product() {
#if defined(__linux__)
    constexpr unsigned long asimd_dot_product = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & asimd_dot_product) != 0;
#else
    return false;
#endif
}
#endif

bool always() {
    return true;
}

struct InstructionSet {
    const char *name;
    const MicroKernel *micro;
    bool (*supported)();
};

// The fastest first.
const InstructionSet instruction_sets[] = {
#if defined(__x86_64__)
    {"avx512vnni", &avx512vnni_kernel, has_avx512vnni},
    {"avx2", &avx2_kernel, has_avx2},
#elif defined(__ARM_NEON)
#if defined(__aarch64__)
    {"neon-dot", &neon_dot_kernel, has_dot_product},
#endif
    {"neon", &neon_kernel, always},
#endif
    {"scalar", nullptr, always},
};

template <typename Names>
std::string listed(const Names &names) {
    std::string text;
    for (const std::string &name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

}  // namespace

std::vector<std::string> supported_names() {
    std::vector<std::string> names;
    for (const InstructionSet &set : instruction_sets) {
        if (set.supported()) names.push_back(set.name);
    }
    return names;
}

Kernels find_kernels(const char *name) {
    const std::string wanted = name ? name : "auto";
    bool known = false;
    for (const InstructionSet &set : instruction_sets) {
        known = known || wanted == set.name;
        if ((wanted == "auto" || wanted == set.name) && set.supported()) {
            Kernels kernels = scalar_kernels;
            kernels.name = set.name;
            kernels.micro = set.micro;
            return kernels;
        }
    }
    refuse((known ? "this processor lacks " : "no instruction set ") + ("'" + wanted) +
           "'; there are auto, " + listed(supported_names()));
}

}  // namespace edgeglyph
