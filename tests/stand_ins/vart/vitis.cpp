// What vitis.hpp declares. Refuses what VART refuses: another mode, buffers of other tensors, a
// model that is none, a missing device (FAULT=device), and fails on FAULT=run.
#include <vitis.hpp>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace {

void need(bool holds, const char *why) {
    if (!holds) throw std::runtime_error(why);
}

bool fault(const char *name) {
    const char *given = std::getenv("FAULT");
    return given && std::strcmp(given, name) == 0;
}

class StandIn final : public vart::Runner {
public:
    explicit StandIn(const std::vector<int> &model)
        : input_({1, model[2], 1, 1}, model[0]), output_({1, model[3]}, model[1]) {}

    std::pair<uint32_t, int> execute_async(
        const std::vector<vart::TensorBuffer *> &input,
        const std::vector<vart::TensorBuffer *> &output) override {
        need(input.size() == 1 && output.size() == 1, "one buffer each");
        need(input[0]->get_tensor() == &input_ && output[0]->get_tensor() == &output_,
             "buffers of other tensors");
        const auto in = input[0]->data({0, 0, 0, 0}), out = output[0]->data({0, 0});
        need(in.second == static_cast<size_t>(input_.get_element_num()), "input size");
        need(out.second == static_cast<size_t>(output_.get_element_num()), "output size");
        const auto *x = reinterpret_cast<const int8_t *>(in.first);
        auto *y = reinterpret_cast<int8_t *>(out.first);
        for (size_t o = 0; o < out.second; ++o) y[o] = x[7 * o % in.second];
        ++jobs_;
        return {jobs_, fault("run") ? -1 : 0};
    }
    int wait(int job, int timeout) override {
        need(job == static_cast<int>(jobs_) && timeout == -1, "no such job");
        return 0;
    }
    std::vector<const xir::Tensor *> get_input_tensors() override { return {&input_}; }
    std::vector<const xir::Tensor *> get_output_tensors() override { return {&output_}; }

private:
    xir::Tensor input_, output_;
    uint32_t jobs_ = 0;
};

}  // namespace

std::unique_ptr<xir::Graph> xir::Graph::deserialize(const std::string &path) {
    std::ifstream file(path);
    std::vector<int> model(5);
    for (int &value : model) file >> value;
    need(static_cast<bool>(file), "this is no xmodel");
    auto graph = std::make_unique<xir::Graph>();
    for (int i = 0; i <= model[4]; ++i) {
        auto subgraph = std::make_unique<xir::Subgraph>();
        subgraph->values_["device"] = std::string(i == 0 ? "USER" : "DPU");
        subgraph->model_ = model;
        graph->root_.children_.push_back(subgraph.get());
        graph->owned_.push_back(std::move(subgraph));
    }
    return graph;
}

std::unique_ptr<vart::Runner> vart::Runner::create_runner(const xir::Subgraph *subgraph,
                                                          const std::string &mode) {
    need(mode == "run" && subgraph->get_attr<std::string>("device") == "DPU", "mode or subgraph");
    need(!fault("device"), "cannot open the DPU");
    return std::make_unique<StandIn>(subgraph->model_);
}
