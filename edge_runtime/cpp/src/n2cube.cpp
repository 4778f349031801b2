// Back end n2cube: the DPU of a Zynq board by DNNDK's runtime.
//
// The library reports most of its errors by printing a line and ending the process. Left in that
// mode it never goes on with a kernel for another DPU, so it stays in it; an end inside one of its
// functions is named.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "accelerator.h"
#include "error.h"
#include "n2cube_library.h"

namespace edgeglyph {
namespace {

constexpr const char *device_path = "/dev/dpu";
constexpr int normal_mode = 0;

// Sanitized builds run on machines without a DPU; they alone take another path.
const char *device() {
#ifdef EDGEGLYPH_TEST_BUILD
    if (const char *path = std::getenv("EDGEGLYPH_TEST_DEVICE")) return path;
#endif
    return device_path;
}

// The vendor function that is running, for the message where it ends the process.
std::atomic<const char *> running{nullptr};

struct Running {
    explicit Running(const char *name) { running = name; }
    ~Running() { running = nullptr; }
    Running(const Running &) = delete;
    Running &operator=(const Running &) = delete;
};

template <typename Function, typename... Arguments>
auto call(const char *name, Function function, Arguments... arguments) {
    const Running guard(name);
    return function(arguments...);
}

[[noreturn]] void fail(const char *name, int code) {
    refuse("DNNDK's " + std::string(name) + " failed with code " + std::to_string(code));
}

void check_device() {
    if (::access(device(), F_OK) != 0) {
        refuse("no DPU here: " + std::string(device()) +
               " does not exist (no driver is loaded, or the bitstream has no DPU)");
    }
    if (::access(device(), R_OK | W_OK) != 0) {
        refuse(std::string(device()) + " cannot be opened (" + std::strerror(errno) +
               "); run as root, or let this user use it");
    }
}

// The library looks for kernel NET_0 in a file libdpumodelNET.so, in the working folder first. It
// reads that file's sections; the compiler's ELF has them. So the bundle's own kernel is put into a
// folder of its own, which is the working folder while the library looks.
class KernelFolder {
public:
    static KernelFolder *present;  // while it is there, for an end inside the library

    explicit KernelFolder(const DpuKernel &dpu) {
        const char *temporary = std::getenv("TMPDIR");
        folder_ =
            std::string(temporary && *temporary ? temporary : "/tmp") + "/edge_classify-XXXXXX";
        if (!::mkdtemp(&folder_[0])) give_up("made");
        file_ = folder_ + "/" + file_name(dpu.kernel);
        write(dpu.artifact);
        back_ = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (back_ < 0 || ::chdir(folder_.c_str()) != 0) give_up("entered");
        present = this;
    }
    ~KernelFolder() {
        present = nullptr;
        if (back_ >= 0) {
            if (::fchdir(back_) != 0) std::perror("edge_classify: the working folder is gone");
            ::close(back_);
        }
        clean();
    }
    KernelFolder(const KernelFolder &) = delete;
    KernelFolder &operator=(const KernelFolder &) = delete;

    void clean() {
        if (!file_.empty()) ::unlink(file_.c_str());
        ::rmdir(folder_.c_str());
    }

private:
    static std::string file_name(std::string kernel) {
        const size_t n = kernel.size();
        const bool numbered = n > 2 && kernel[n - 2] == '_' &&
                              std::isdigit(static_cast<unsigned char>(kernel[n - 1])) != 0;
        if (numbered) kernel.resize(n - 2);
        return "libdpumodel" + kernel + ".so";
    }

    void write(Bytes artifact) {
        const int file = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0) give_up("written to");
        for (size_t done = 0; done < artifact.size;) {
            const ssize_t n = ::write(file, artifact.data + done, artifact.size - done);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) {
                const int error = errno;
                ::close(file);
                errno = error;
                give_up("written to");
            }
            done += static_cast<size_t>(n);
        }
        if (::close(file) != 0) give_up("written to");
    }

    [[noreturn]] void give_up(const char *what) {
        const std::string reason = std::strerror(errno);
        if (back_ >= 0) ::close(back_);
        clean();
        refuse("the temporary folder " + folder_ + " for the DPU kernel cannot be " + what + " (" +
               reason + "); TMPDIR names another place");
    }

    std::string folder_, file_;
    int back_ = -1;
};

KernelFolder *KernelFolder::present = nullptr;

void name_the_end() {
    const char *function = running.load();
    if (!function) return;
    if (KernelFolder::present) KernelFolder::present->clean();
    std::fflush(stdout);
    std::fprintf(stderr, "edge_classify: libn2cube.so ended the program in %s\n", function);
    ::_exit(2);
}

class N2CubeAccelerator final : public Accelerator {
public:
    explicit N2CubeAccelerator(const DpuKernel &dpu)
        : dpu_(dpu),
          input_(static_cast<size_t>(dpu.input_size)),
          output_(static_cast<size_t>(dpu.output_size)) {
        check_name(dpu.kernel);
        check_device();
        library_ = load_n2cube();
        static const int registered = std::atexit(name_the_end);
        if (registered != 0) refuse("out of memory");
        try {
            open();
        } catch (...) {
            close();
            throw;
        }
    }
    ~N2CubeAccelerator() override { close(); }

    const char *name() const override { return "n2cube"; }

    void run(const int8_t *input, int32_t *logits) override {
        const std::lock_guard<std::mutex> lock(guard_);
        std::memcpy(input_.data(), input, input_.size());  // the library takes no const data
        const char *function = "dpuSetInputTensorInHWCInt8";
        const int inputs = static_cast<int>(input_.size());
        int code = call(function, library_.set_input, task_, dpu_.input_node.c_str(), input_.data(),
                        inputs, 0);
        if (code != 0) fail(function, code);
        code = call("dpuRunTask", library_.run_task, task_);
        if (code != 0) fail("dpuRunTask", code);
        function = "dpuGetOutputTensorInHWCInt8";
        code = call(function, library_.get_output, task_, dpu_.output_node.c_str(), output_.data(),
                    static_cast<int>(output_.size()), 0);
        if (code != 0) fail(function, code);
        std::copy(output_.begin(), output_.end(), logits);
    }

private:
    // The name becomes a file's, and the library copies it into a buffer.
    static void check_name(const std::string &name) {
        bool good = !name.empty() && name.size() <= 128;
        for (char c : name) {
            good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-');
        }
        if (!good)
            refuse("the DPU kernel's name '" + name +
                   "' has other signs than letters, "
                   "digits, _ and -");
    }

    void open() {
        // 1: kernels lie in libraries of their own, not in this program.
        ::setenv("DPU_COMPILATIONMODE", "1", 0);
        const int code = call("dpuOpen", library_.open);
        if (code != 0) fail("dpuOpen", code);
        opened_ = true;
        {
            const KernelFolder here(dpu_);
            kernel_ = call("dpuLoadKernel", library_.load_kernel, dpu_.kernel.c_str());
        }
        if (!kernel_) refuse("DNNDK's dpuLoadKernel does not accept the kernel " + dpu_.kernel);
        task_ = call("dpuCreateTask", library_.create_task, kernel_, normal_mode);
        if (!task_) refuse("DNNDK's dpuCreateTask failed");
        check_end("input", "dpuGetInputTensorSize", library_.input_size, library_.input_scale,
                  dpu_.input_node, dpu_.input_size, std::ldexp(1.0f, dpu_.input_fix_point));
        check_end("output", "dpuGetOutputTensorSize", library_.output_size, library_.output_scale,
                  dpu_.output_node, dpu_.output_size, std::ldexp(1.0f, -dpu_.output_fix_point));
    }

    // What the loaded kernel says of its input or output must be what the bundle says. A coarser
    // input would lose bits, a finer one overflow: there is no exact shift, so both are refused.
    void check_end(const char *which, const char *function,
                   int (*size_of)(void *, const char *, int),
                   float (*scale_of)(void *, const char *, int), const std::string &node,
                   int64_t size, float scale) const {
        const std::string prefix = "the loaded DPU kernel's " + std::string(which) + " " + node;
        if (size_of) {
            const int found = call(function, size_of, task_, node.c_str(), 0);
            if (found != size) {
                refuse(prefix + " has " + std::to_string(found) + " bytes, the bundle's " +
                       std::to_string(size) + "; compile the bundle again");
            }
        }
        if (scale_of) {
            const float found = call(function, scale_of, task_, node.c_str(), 0);
            if (found != scale) {
                refuse(prefix + " has scale " + std::to_string(found) + ", the bundle's " +
                       std::to_string(scale) + "; compile the bundle again");
            }
        }
    }

    void close() {
        if (task_) call("dpuDestroyTask", library_.destroy_task, task_);
        if (kernel_) call("dpuDestroyKernel", library_.destroy_kernel, kernel_);
        if (opened_) call("dpuClose", library_.close);
        task_ = kernel_ = nullptr;
        opened_ = false;
    }

    const DpuKernel &dpu_;
    std::vector<int8_t> input_, output_;
    std::mutex guard_;
    N2Cube library_{};
    void *kernel_ = nullptr, *task_ = nullptr;
    bool opened_ = false;
};

}  // namespace

bool has_n2cube_device() {
    return ::access(device(), F_OK) == 0;
}

std::unique_ptr<Accelerator> open_n2cube(const DpuKernel &dpu) {
    return std::make_unique<N2CubeAccelerator>(dpu);
}

}  // namespace edgeglyph
