// Back end vart: the DPU of a Zynq UltraScale+ board by Vitis AI's runtime.
//
// VART is C++ through and through (virtual functions, std::string), so it cannot be loaded by name
// as N2Cube is: this file is compiled against its headers where EDGEGLYPH_VART is defined, and the
// program is then linked to libvart-runner.so and libxir.so. Other builds have a stub.
#include "accelerator.h"
#include "error.h"

#ifdef EDGEGLYPH_VART

#if !__has_include(<vart/runner.hpp>) || !__has_include(<xir/graph/graph.hpp>)
#error "a build with VART needs the headers vart/runner.hpp and xir/graph/graph.hpp"
#endif

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <utility>
#include <vart/runner.hpp>
#include <vart/tensor_buffer.hpp>
#include <vector>
#include <xir/graph/graph.hpp>
#include <xir/graph/subgraph.hpp>
#include <xir/tensor/tensor.hpp>

namespace edgeglyph {
namespace {

// Bytes of ours as VART's buffer.
class Buffer final : public vart::TensorBuffer {
public:
    explicit Buffer(const xir::Tensor *tensor)
        : vart::TensorBuffer(tensor), bytes_(static_cast<size_t>(tensor->get_element_num())) {}

    std::pair<uint64_t, size_t> data(const std::vector<int> index = {}) override {
        // An index is asked for with zeros but for the batch: [n, 0, 0, 0].
        size_t offset = 0;
        const std::vector<int> shape = get_tensor()->get_shape();
        for (size_t i = 0; i < index.size() && i < shape.size(); ++i) {
            offset = offset * static_cast<size_t>(shape[i]) + static_cast<size_t>(index[i]);
        }
        for (size_t i = index.size(); i < shape.size(); ++i) {
            offset *= static_cast<size_t>(shape[i]);
        }
        if (offset >= bytes_.size()) return {0, 0};
        return {reinterpret_cast<uint64_t>(bytes_.data() + offset), bytes_.size() - offset};
    }

    std::vector<int8_t> &bytes() { return bytes_; }

private:
    std::vector<int8_t> bytes_;
};

// The graph is read from a file alone.
std::unique_ptr<xir::Graph> read_graph(Bytes artifact) {
    const char *temporary = std::getenv("TMPDIR");
    std::string path =
        std::string(temporary && *temporary ? temporary : "/tmp") + "/edge_classify-XXXXXX";
    const int file = ::mkstemp(&path[0]);
    if (file < 0) refuse("no temporary file for the DPU kernel can be made in " + path);
    size_t done = 0;
    while (done < artifact.size) {
        const ssize_t n = ::write(file, artifact.data + done, artifact.size - done);
        if (n <= 0) break;
        done += static_cast<size_t>(n);
    }
    ::close(file);
    std::unique_ptr<xir::Graph> graph;
    try {
        if (done == artifact.size) graph = xir::Graph::deserialize(path);
    } catch (...) {
        ::unlink(path.c_str());
        throw;
    }
    ::unlink(path.c_str());
    if (!graph) refuse("the temporary file " + path + " for the DPU kernel cannot be used");
    return graph;
}

const xir::Subgraph *dpu_subgraph(const xir::Graph &graph) {
    const xir::Subgraph *found = nullptr;
    for (const xir::Subgraph *each : graph.get_root_subgraph()->children_topological_sort()) {
        if (!each->has_attr("device") || each->get_attr<std::string>("device") != "DPU") continue;
        if (found) refuse("the xmodel has more than one DPU subgraph; a part of it runs elsewhere");
        found = each;
    }
    if (!found) refuse("the xmodel has no DPU subgraph");
    return found;
}

const xir::Tensor *only(const std::vector<const xir::Tensor *> &tensors, const char *which) {
    if (tensors.size() != 1) {
        refuse("the xmodel has " + std::to_string(tensors.size()) + " " + which + "s, not 1");
    }
    return tensors.front();
}

class VartAccelerator final : public Accelerator {
public:
    explicit VartAccelerator(const DpuKernel &dpu)
        : dpu_(dpu),
          graph_(read_graph(dpu.artifact)),
          runner_(vart::Runner::create_runner(dpu_subgraph(*graph_), "run")),
          input_(only(runner_->get_input_tensors(), "input")),
          output_(only(runner_->get_output_tensors(), "output")) {
        check(*input_.get_tensor(), "input", dpu.input_size, dpu.input_fix_point);
        check(*output_.get_tensor(), "output", dpu.output_size, dpu.output_fix_point);
    }

    const char *name() const override { return "vart"; }

    void run(const int8_t *input, int32_t *logits) override {
        const std::lock_guard<std::mutex> lock(guard_);
        try {
            std::memcpy(input_.bytes().data(), input, static_cast<size_t>(dpu_.input_size));
            const auto job = runner_->execute_async({&input_}, {&output_});
            const int status = runner_->wait(static_cast<int>(job.first), -1);
            if (job.second != 0 || status != 0) {
                refuse("VART failed with code " + std::to_string(job.second ? job.second : status));
            }
            std::vector<int8_t> found(static_cast<size_t>(dpu_.output_size));
            std::memcpy(found.data(), output_.bytes().data(), found.size());
            std::copy(found.begin(), found.end(), logits);
        } catch (const std::exception &error) {
            refuse("VART failed: " + std::string(error.what()));
        }
    }

private:
    // A tensor holds one value per image of a batch; the first image is ours.
    static void check(const xir::Tensor &tensor, const char *which, int64_t size, int fix_point) {
        const std::vector<int> shape = tensor.get_shape();
        const int64_t batch = shape.empty() || shape[0] < 1 ? 1 : shape[0];
        const int64_t found = tensor.get_element_num() / batch;
        if (found != size) {
            refuse("the loaded DPU kernel's " + std::string(which) + " has " +
                   std::to_string(found) + " bytes, the bundle's " + std::to_string(size));
        }
        const int point = tensor.get_attr<int>("fix_point");
        if (point != fix_point) {
            refuse("the loaded DPU kernel's " + std::string(which) + " has fix point " +
                   std::to_string(point) + ", the bundle's " + std::to_string(fix_point));
        }
    }

    const DpuKernel &dpu_;
    std::mutex guard_;
    std::unique_ptr<xir::Graph> graph_;
    std::unique_ptr<vart::Runner> runner_;
    Buffer input_, output_;
};

}  // namespace

std::unique_ptr<Accelerator> open_vart(const DpuKernel &dpu) {
    try {
        return std::make_unique<VartAccelerator>(dpu);
    } catch (const std::exception &error) {  // VART's own; ours is no std::exception
        refuse("VART cannot be used: " + std::string(error.what()));
    }
}

}  // namespace edgeglyph

#else

namespace edgeglyph {

std::unique_ptr<Accelerator> open_vart(const DpuKernel &) {
    refuse("this program was built without VART; make runtime BOARD=… VART=SYSROOT builds it in");
}

}  // namespace edgeglyph

#endif
