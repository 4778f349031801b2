// A stand-in for DNNDK's libn2cube.so, for tests. It has the real library's names and searches for
// kernels as that does, prints a line and ends the process for whatever the real one refuses, and
// computes with code that shares nothing with ours, from the kernel file alone.
//
// Names, by macro: C++ ones as in DNNDK 3.1, where only dpuOpen and dpuClose have C names; with
// TWINS their twins for Python, too; with C_NAMES plain C ones as in DNNDK 2, whose functions for
// int8 take no index. LACKING has no dpuRunTask.
//
// The "DPU" is the file /dev/dpu (or $EDGEGLYPH_TEST_DEVICE), which holds its size: B1152.
// FAULT=… misbehaves: `open`, `kernel`, `task`, `run` return errors, `crash` aborts, `wrong` flips
// a bit of each result.
#ifdef LACKING
#define dpuRunTask dpuRunTaskByAnotherName
#endif

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

[[noreturn]] void end(const std::string &why) {
    std::fprintf(stderr, "[DNNDK] %s\n", why.c_str());
    std::exit(255);
}

void need(bool holds, const std::string &why) {
    if (!holds) end(why);
}

bool fault(const char *name) {
    const char *given = std::getenv("FAULT");
    return given && std::strcmp(given, name) == 0;
}

uint32_t word(const Bytes &bytes, size_t index) {
    need(4 * index + 4 <= bytes.size(), "kernel file is cut off");
    uint32_t value;
    std::memcpy(&value, bytes.data() + 4 * index, 4);
    return value;
}

bool read_whole(const std::string &path, Bytes &bytes) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return false;
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    return true;
}

struct Tensor {
    uint32_t attribute, height, width, channels, address, size, bits;
    int32_t fix_point;
};

struct Node {
    std::string name;
    std::vector<uint32_t> inputs, outputs;
};

// One step of the section code, which in a test's kernel file is a list of these.
struct Step {
    int32_t kind, source, out, kernel_h, kernel_w, in, stride_h, stride_w, top, left, relu, shift,
        shift_bias, multiplier, weights, bias, in_h, in_w, in_c, out_h, out_w, out_c;
};

}  // namespace

struct dpu_kernel {
    std::string name;
    std::vector<Tensor> tensors;
    std::vector<Node> nodes;
    std::vector<Step> steps;
    Bytes parameters;
    int tasks = 0;
};

struct dpu_task {
    dpu_kernel *kernel;
    std::vector<int8_t> input, output;
    bool ready = false, done = false;
};

namespace {

bool opened = false;
std::string device_size;
std::set<dpu_kernel *> kernels;
std::set<dpu_task *> tasks;

// Sections of an ELF file of 32 bits, by name.
std::map<std::string, Bytes> sections_of(const Bytes &file) {
    need(file.size() > 52 && std::memcmp(file.data(),
                                         "\x7f"
                                         "ELF\1\1",
                                         6) == 0,
         "no ELF file");
    uint32_t table;
    uint16_t counts[3];
    std::memcpy(&table, file.data() + 32, 4);
    std::memcpy(counts, file.data() + 46, 6);
    need(counts[0] == 40 && table + 40u * counts[1] <= file.size(), "bad section table");
    const auto header = [&](uint32_t i, uint32_t field) {
        uint32_t value;
        std::memcpy(&value, file.data() + table + 40 * i + 4 * field, 4);
        return value;
    };
    std::map<std::string, Bytes> found;
    for (uint32_t i = 1; i < counts[1]; ++i) {
        const char *names = reinterpret_cast<const char *>(file.data()) + header(counts[2], 4);
        const uint8_t *begin = file.data() + header(i, 4);
        found[names + header(i, 0)] = Bytes(begin, begin + header(i, 5));
    }
    return found;
}

std::vector<uint32_t> take_list(const Bytes &node, size_t &at, size_t width) {
    const uint32_t count = word(node, at++);
    std::vector<uint32_t> list;
    for (size_t i = 0; i < count * width; ++i) list.push_back(word(node, at++));
    return list;
}

void read_kernel(std::map<std::string, Bytes> &sections, dpu_kernel &kernel) {
    const auto section = [&](const char *kind) -> const Bytes & {
        return sections[std::string(".deephi.") + kind + "." + kernel.name];
    };
    const Bytes &metadata = section("metadata"), &strings = section("strtab");
    need(!metadata.empty(), "no kernel " + kernel.name + " in its library");
    need(word(metadata, 9) == 0x20000, "unknown ABI");
    const Bytes &conf = section("configurable");
    const uint32_t size = 2 * word(conf, 18) * word(conf, 19) * word(conf, 20);
    need("B" + std::to_string(size) == device_size,
         "DPU Arch mismatch: DPU kernel: B" + std::to_string(size) + ", DPU IP: " + device_size);
    const Bytes &tensors = section("tensor");
    kernel.tensors.resize(tensors.size() / 52);
    for (size_t i = 0; i < kernel.tensors.size(); ++i) {
        std::memcpy(&kernel.tensors[i], tensors.data() + 52 * i, sizeof(Tensor));
    }
    const Bytes &pool = section("node");
    size_t at = 0;
    for (uint32_t i = 0; i < word(metadata, 3); ++i) {
        Node node;
        node.name = reinterpret_cast<const char *>(strings.data()) + word(pool, at + 1);
        at += 4;
        take_list(pool, at, 1);
        node.inputs = take_list(pool, at, 1);
        node.outputs = take_list(pool, at, 1);
        for (size_t width : {4, 10, 1, 1}) take_list(pool, at, width);
        kernel.nodes.push_back(node);
    }
    const Bytes &code = section("code");
    kernel.steps.resize(code.size() / sizeof(Step));
    std::memcpy(kernel.steps.data(), code.data(), kernel.steps.size() * sizeof(Step));
    kernel.parameters = section("parameter");
}

int8_t rounded(int64_t sum, int shift, bool relu) {
    // Half up: floor(sum / 2^shift + 1/2), by exact division.
    const int64_t unit = int64_t{1} << shift;
    int64_t twice = 2 * sum + unit, value = twice / (2 * unit);
    if (twice % (2 * unit) < 0) --value;
    const int64_t low = relu ? 0 : -128;
    return static_cast<int8_t>(value < low ? low : value > 127 ? 127 : value);
}

// Each input value is added to all outputs that it reaches.
std::vector<int8_t> convolved(const Step &s, const std::vector<int8_t> &x,
                              const Bytes &parameters) {
    const int8_t *w = reinterpret_cast<const int8_t *>(parameters.data()) + s.weights;
    const int8_t *b = reinterpret_cast<const int8_t *>(parameters.data()) + s.bias;
    std::vector<int64_t> sums(static_cast<size_t>(s.out_h * s.out_w * s.out));
    for (size_t i = 0; i < sums.size(); ++i) {
        sums[i] = int64_t{b[static_cast<int32_t>(i) % s.out]} * (1 << s.shift_bias);
    }
    for (int r = 0; r < s.in_h; ++r)
        for (int c = 0; c < s.in_w; ++c)
            for (int kr = 0; kr < s.kernel_h; ++kr)
                for (int kc = 0; kc < s.kernel_w; ++kc) {
                    const int y = r + s.top - kr, z = c + s.left - kc;
                    if (y < 0 || z < 0 || y % s.stride_h || z % s.stride_w) continue;
                    const int oy = y / s.stride_h, oz = z / s.stride_w;
                    if (oy >= s.out_h || oz >= s.out_w) continue;
                    for (int o = 0; o < s.out; ++o)
                        for (int i = 0; i < s.in; ++i) {
                            const int channel = s.kind == 1 ? o / (s.out / s.in_c) : i;
                            const int at = ((o * s.kernel_h + kr) * s.kernel_w + kc) * s.in + i;
                            sums[static_cast<size_t>((oy * s.out_w + oz) * s.out + o)] +=
                                int64_t{w[at]} *
                                x[static_cast<size_t>((r * s.in_w + c) * s.in_c + channel)];
                        }
                }
    std::vector<int8_t> result;
    for (int64_t sum : sums) result.push_back(rounded(sum, s.shift, s.relu != 0));
    return result;
}

std::vector<int8_t> averaged(const Step &s, const std::vector<int8_t> &x) {
    std::vector<int8_t> result;
    for (int i = 0; i < s.out_h * s.out_w * s.out_c; ++i) {
        const int channel = i % s.out_c, column = i / s.out_c % s.out_w,
                  row = i / s.out_c / s.out_w;
        int64_t sum = 0;
        for (int k = 0; k < s.kernel_h * s.kernel_w; ++k) {
            const int r = row * s.stride_h + k / s.kernel_w,
                      c = column * s.stride_w + k % s.kernel_w;
            sum += x[static_cast<size_t>((r * s.in_w + c) * s.in_c + channel)];
        }
        result.push_back(rounded(sum * s.multiplier, s.shift, false));
    }
    return result;
}

std::string library_of(std::string kernel) {
    const size_t n = kernel.size();
    if (n > 2 && kernel[n - 2] == '_' && kernel[n - 1] >= '0' && kernel[n - 1] <= '9') {
        kernel.resize(n - 2);
    }
    return "libdpumodel" + kernel + ".so";
}

const Tensor &end_of(dpu_task *task, const char *node, int index, bool input, const char *call) {
    need(opened, std::string("dpuOpen is to be called before ") + call);
    need(tasks.count(task) != 0, std::string("no such task, for API ") + call);
    need(node != nullptr, std::string("no node, for API ") + call);
    for (const Node &each : task->kernel->nodes) {
        if (each.name != node) continue;
        const std::vector<uint32_t> &list = input ? each.inputs : each.outputs;
        need(index >= 0 && static_cast<size_t>(index) < list.size(), "no such tensor of this node");
        const Tensor &tensor = task->kernel->tensors[list[static_cast<size_t>(index)]];
        need((tensor.attribute & (input ? 2u : 4u)) != 0, "not an end of the kernel");
        return tensor;
    }
    end(std::string("Invalid node name ") + node + " for API " + call);
}

}  // namespace

#ifdef C_NAMES
extern "C" {
#endif

#ifndef C_NAMES
extern "C" {
int dpuOpen();
int dpuClose();
}
#endif

int dpuOpen() {
    if (fault("open")) return -1;
    const char *given = std::getenv("EDGEGLYPH_TEST_DEVICE");
    std::ifstream device(given ? given : "/dev/dpu");
    need(static_cast<bool>(device), "fail to open DPU device");
    std::getline(device, device_size);
    opened = true;
    return 0;
}

int dpuClose() {
    need(opened, "dpuClose without dpuOpen");
    need(kernels.empty() && tasks.empty(), "dpuClose before all is destroyed");
    opened = false;
    return 0;
}

dpu_kernel *dpuLoadKernel(const char *name) {
    need(opened, "dpuOpen is to be called before dpuLoadKernel");
    need(name != nullptr, "no name");
    const char *mode = std::getenv("DPU_COMPILATIONMODE");
    need(mode && std::string(mode) == "1", "no DPU kernel in the hybrid executable");
    Bytes file;
    bool found = false;
    for (const char *folder : {"./", "/usr/local/lib/", "/usr/lib/", "/lib/"}) {
        found = found || read_whole(folder + library_of(name), file);
    }
    need(found, "fail to locate " + library_of(name));
    if (fault("kernel")) return nullptr;
    auto *kernel = new dpu_kernel{name, {}, {}, {}, {}, 0};
    auto sections = sections_of(file);
    read_kernel(sections, *kernel);
    kernels.insert(kernel);
    return kernel;
}

int dpuDestroyKernel(dpu_kernel *kernel) {
    need(opened && kernels.count(kernel) == 1, "no such kernel");
    need(kernel->tasks == 0, "dpuDestroyKernel before its tasks are destroyed");
    kernels.erase(kernel);
    delete kernel;
    return 0;
}

dpu_task *dpuCreateTask(dpu_kernel *kernel, int mode) {
    need(opened && kernels.count(kernel) == 1, "no such kernel");
    need(mode >= 0 && mode <= 3, "no such mode");
    if (fault("task")) return nullptr;
    if (fault("crash")) std::abort();
    auto *task = new dpu_task{kernel, {}, {}, false, false};
    ++kernel->tasks;
    tasks.insert(task);
    return task;
}

int dpuDestroyTask(dpu_task *task) {
    need(opened && tasks.count(task) == 1, "no such task");
    --task->kernel->tasks;
    tasks.erase(task);
    delete task;
    return 0;
}

int dpuRunTask(dpu_task *task) {
    need(opened && tasks.count(task) == 1, "no such task");
    need(task->ready, "dpuRunTask without input");
    if (fault("run")) return -7;
    std::vector<std::vector<int8_t>> maps;
    for (const Step &step : task->kernel->steps) {
        const auto &x = step.source < 0 ? task->input : maps[static_cast<size_t>(step.source)];
        maps.push_back(step.kind == 2 ? averaged(step, x)
                                      : convolved(step, x, task->kernel->parameters));
    }
    task->output = maps.back();
    if (fault("wrong")) task->output[0] = static_cast<int8_t>(task->output[0] ^ 1);
    task->ready = false;
    task->done = true;
    return 0;
}

#ifdef C_NAMES
int dpuSetInputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size) {
    const int index = 0;
#else
int dpuSetInputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size,
                               int index) {
#endif
    const Tensor &tensor = end_of(task, node, index, true, "dpuSetInputTensorInHWCInt8");
    need(data != nullptr && size > 0 && static_cast<uint32_t>(size) == tensor.size,
         "invalid tensor size");
    task->input.assign(data, data + size);
    task->ready = true;
    task->done = false;
    return 0;
}

#ifdef C_NAMES
int dpuGetOutputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size) {
    const int index = 0;
#else
int dpuGetOutputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size,
                                int index) {
#endif
    const Tensor &tensor = end_of(task, node, index, false, "dpuGetOutputTensorInHWCInt8");
    need(task->done, "output asked for before dpuRunTask");
    need(data != nullptr && size > 0 && static_cast<uint32_t>(size) <= tensor.size,
         "invalid tensor size");
    std::copy(task->output.begin(), task->output.begin() + size, data);
    return 0;
}

#ifndef C_NAMES
static float power_of_two(int exponent) {
    float value = 1;
    for (int i = 0; i < exponent; ++i) value *= 2;
    for (int i = 0; i > exponent; --i) value /= 2;
    return value;
}

int dpuGetInputTensorSize(dpu_task *task, const char *node, int index) {
    return static_cast<int>(end_of(task, node, index, true, "dpuGetInputTensorSize").size);
}

int dpuGetOutputTensorSize(dpu_task *task, const char *node, int index) {
    return static_cast<int>(end_of(task, node, index, false, "dpuGetOutputTensorSize").size);
}

float dpuGetInputTensorScale(dpu_task *task, const char *node, int index) {
    return power_of_two(end_of(task, node, index, true, "dpuGetInputTensorScale").fix_point);
}

float dpuGetOutputTensorScale(dpu_task *task, const char *node, int index) {
    return power_of_two(-end_of(task, node, index, false, "dpuGetOutputTensorScale").fix_point);
}
#endif

#ifdef C_NAMES
}
#endif

#ifdef TWINS
extern "C" {
int pyc_dpuOpen() {
    return dpuOpen();
}
int pyc_dpuClose() {
    return dpuClose();
}
dpu_kernel *pyc_dpuLoadKernel(const char *name) {
    return dpuLoadKernel(name);
}
int pyc_dpuDestroyKernel(dpu_kernel *kernel) {
    return dpuDestroyKernel(kernel);
}
dpu_task *pyc_dpuCreateTask(dpu_kernel *kernel, int mode) {
    return dpuCreateTask(kernel, mode);
}
int pyc_dpuDestroyTask(dpu_task *task) {
    return dpuDestroyTask(task);
}
int pyc_dpuRunTask(dpu_task *task) {
    return dpuRunTask(task);
}
int pyc_dpuSetInputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size,
                                   int i) {
    return dpuSetInputTensorInHWCInt8(task, node, data, size, i);
}
int pyc_dpuGetOutputTensorInHWCInt8(dpu_task *task, const char *node, int8_t *data, int size,
                                    int i) {
    return dpuGetOutputTensorInHWCInt8(task, node, data, size, i);
}
}
#endif
