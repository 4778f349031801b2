#include "backend.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "accelerator.h"
#include "error.h"

namespace edgeglyph {
namespace {

std::unique_ptr<Accelerator> open_accelerator(const std::string &backend, const DpuKernel &dpu) {
    if (dpu.kind == "xmodel" && backend == "n2cube") {
        refuse("the bundle's DPU kernel is an xmodel, which --backend vart runs");
    }
    if (dpu.kind == "elf" && backend == "vart") {
        refuse("the bundle's DPU kernel is an ELF file, which --backend n2cube runs");
    }
    return dpu.kind == "elf" ? open_n2cube(dpu) : open_vart(dpu);
}

// What a child process wrote, its lines joined into one; at most a few kilobytes.
std::string read_lines(int from) {
    constexpr size_t most = 4096;
    const std::string prefix = "edge_classify: ";
    std::string text, line, block(most, '\0');
    const auto end_line = [&] {
        if (line.compare(0, prefix.size(), prefix) == 0) line.erase(0, prefix.size());
        if (!line.empty()) text += (text.empty() ? "" : "; ") + line;
        line.clear();
    };
    for (;;) {
        const ssize_t got = ::read(from, &block[0], block.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        for (size_t i = 0; i < static_cast<size_t>(got) && text.size() < most; ++i) {
            if (block[i] == '\n') {
                end_line();
            } else if (static_cast<unsigned char>(block[i]) >= 0x20 && line.size() < most) {
                line += block[i];
            }
        }
    }
    end_line();
    return text;
}

int exit_status(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            refuse("a child process is lost (" + std::string(std::strerror(errno)) + ")");
    }
    return status;
}

[[noreturn]] void rehearse_here(const Bundle &bundle, const std::string &backend) {
    int code = 0;
    try {
        const auto accelerator = open_accelerator(backend, bundle.dpu);
        self_test(bundle, *accelerator);
    } catch (const Error &error) {
        std::fprintf(stderr, "%s\n", error.message.c_str());
        code = static_cast<int>(error.fault);
    } catch (...) {
        std::fputs("the vendor's library failed\n", stderr);
        code = static_cast<int>(Fault::bad_input);
    }
    std::fflush(nullptr);
    ::_exit(code);
}

// The vendors' libraries print a line and end the process where something does not please them, or
// abort it. So a child opens the device and runs the self-test first, and what becomes of it is
// known before anything depends on it. Called while there is one thread.
void rehearse(const Bundle &bundle, const std::string &backend) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) refuse("no pipe to be had for trying the DPU");
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        rehearse_here(bundle, backend);
    }
    ::close(ends[1]);
    const std::string said = child < 0 ? std::strerror(errno) : read_lines(ends[0]);
    ::close(ends[0]);
    if (child < 0) refuse("no process to be had for trying the DPU (" + said + ")");
    const int status = exit_status(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    if (WIFSIGNALED(status)) {
        refuse("the DPU's library crashed (signal " + std::to_string(WTERMSIG(status)) + ")" +
               (said.empty() ? "" : ": " + said));
    }
    const bool differs = WEXITSTATUS(status) == static_cast<int>(Fault::not_verified);
    throw Error{differs ? Fault::not_verified : Fault::bad_input, said};
}

void use_dpu(Classifier &classifier, const std::string &backend) {
    const Bundle &bundle = classifier.bundle();
    if (!bundle.dpu.given()) {
        refuse("bundle '" + bundle.name +
               "' holds no DPU kernel; make compile puts one in where the vendor's compiler is "
               "installed");
    }
    rehearse(bundle, backend);
    classifier.use(open_accelerator(backend, bundle.dpu));
}

// The model that `make core-model` has built in the checkout that this program was built in.
std::string model_beside_program(const std::string &target) {
    std::string path(4096, '\0');
    const ssize_t size = ::readlink("/proc/self/exe", &path[0], path.size());
    path.resize(size < 0 ? 0 : static_cast<size_t>(size));
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
    return folder + "/../../../rtl/build/" + target + "/libcore_model.so";
}

void use_core(Classifier &classifier, const Options &options) {
    const CoreImage &core = classifier.bundle().core;
    if (!core.given()) {
        refuse("bundle '" + classifier.bundle().name +
               "' holds no core program; python -m quantize compile --target core128 puts one in");
    }
    if (options.backend == "core") {
        classifier.use(open_core(core, options.core));
    } else {
        const bool named = !options.core.empty();
        classifier.use(
            open_core_sim(core, named ? options.core : model_beside_program(core.target)));
    }
}

}  // namespace

std::unique_ptr<Classifier> open_with_backend(const Options &options) {
    auto classifier = open_classifier(options.bundle, options.isa.c_str());
    if (options.backend == "cpu") return classifier;
    if (options.backend == "core" || options.backend == "core-sim") {
        use_core(*classifier, options);
        return classifier;
    }
    if (options.backend != "auto") {
        use_dpu(*classifier, options.backend);
        return classifier;
    }
    // On a computer that never had a DPU, a bundle for CPUs is no news.
    const bool news = classifier->bundle().dpu.given() || has_n2cube_device();
    if (!news && !options.backend_named) return classifier;
    try {
        use_dpu(*classifier, "auto");
    } catch (const Error &error) {
        std::fprintf(stderr, "edge_classify: running on the CPU: %s\n", error.message.c_str());
    }
    return classifier;
}

}  // namespace edgeglyph
