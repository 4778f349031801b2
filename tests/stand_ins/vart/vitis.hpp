// The part of Vitis AI's C++ interfaces (xir, vart) that edge_classify uses, for tests: declared as
// in Vitis AI 1.4 to 3.5, computed by vitis.cpp. A "model" is a file of one line:
// INPUT_FIX_POINT OUTPUT_FIX_POINT INPUTS OUTPUTS DPU_SUBGRAPHS; output o is input 7 o.
#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace xir {

class Attributes {
public:
    bool has_attr(const std::string &key) const { return values_.count(key) != 0; }
    template <typename T>
    T get_attr(const std::string &key) const {
        return std::any_cast<T>(values_.at(key));
    }
    std::map<std::string, std::any> values_;
};

class Tensor : public Attributes {
public:
    Tensor(std::vector<int> shape, int fix_point) : shape_(std::move(shape)) {
        values_["fix_point"] = fix_point;
    }
    std::vector<int> get_shape() const { return shape_; }
    int64_t get_element_num() const {
        int64_t count = 1;
        for (int size : shape_) count *= size;
        return count;
    }

private:
    std::vector<int> shape_;
};

class Subgraph : public Attributes {
public:
    std::vector<Subgraph *> children_topological_sort() const { return children_; }
    std::vector<Subgraph *> children_;
    std::vector<int> model_;
};

class Graph {
public:
    static std::unique_ptr<Graph> deserialize(const std::string &path);
    const Subgraph *get_root_subgraph() const { return &root_; }
    Subgraph root_;
    std::vector<std::unique_ptr<Subgraph>> owned_;
};

}  // namespace xir

namespace vart {

class TensorBuffer {
protected:
    explicit TensorBuffer(const xir::Tensor *tensor) : tensor_(tensor) {}

public:
    virtual ~TensorBuffer() = default;
    virtual std::pair<uint64_t, size_t> data(const std::vector<int> index = {}) = 0;
    const xir::Tensor *get_tensor() const { return tensor_; }

protected:
    const xir::Tensor *tensor_;
};

class Runner {
public:
    virtual ~Runner() = default;
    static std::unique_ptr<Runner> create_runner(const xir::Subgraph *subgraph,
                                                 const std::string &mode);
    virtual std::pair<uint32_t, int> execute_async(const std::vector<TensorBuffer *> &input,
                                                   const std::vector<TensorBuffer *> &output) = 0;
    virtual int wait(int job, int timeout) = 0;
    virtual std::vector<const xir::Tensor *> get_input_tensors() = 0;
    virtual std::vector<const xir::Tensor *> get_output_tensors() = 0;
};

}  // namespace vart
