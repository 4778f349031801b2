// Classify characters by an ONNX model in ONNX Runtime: classify MODEL.onnx IMAGE.pgm…
//
//     c++ -std=c++17 -O2 -I ORT/include classify.cpp -L ORT/lib -lonnxruntime -o classify
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// ---- Preprocessing, as docs/preprocessing.md says ----------------------------------------------

struct Gray {
    int64_t width = 0, height = 0;
    std::vector<uint8_t> pixels;
};

static Gray read_pgm(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    int64_t most = 0;
    Gray gray;
    file >> magic >> gray.width >> gray.height >> most;
    file.get();
    if (magic != "P5" || most != 255 || gray.width < 1 || gray.width > 16384 || gray.height < 1 ||
        gray.height > 16384) {
        throw std::runtime_error(path + ": not a binary PGM of 8 bits");
    }
    gray.pixels.resize(static_cast<size_t>(gray.width * gray.height));
    const auto size = static_cast<std::streamsize>(gray.pixels.size());
    if (!file.read(reinterpret_cast<char *>(gray.pixels.data()), size)) {
        throw std::runtime_error(path + ": ends too early");
    }
    return gray;
}

static int64_t overlap(int64_t a, int64_t m, int64_t b, int64_t n) {
    return std::min(a + m, b + n) - std::max(a, b);
}

static std::array<int8_t, 1024> preprocess(const Gray &gray) {
    const int64_t w = gray.width, h = gray.height;
    std::array<int64_t, 1024> small{};
    std::array<int, 256> counts{};
    for (int64_t i = 0; i < 32; ++i) {
        for (int64_t j = 0; j < 32; ++j) {
            int64_t sum = 0;
            for (int64_t r = i * h / 32; r * 32 < (i + 1) * h; ++r) {
                for (int64_t c = j * w / 32; c * 32 < (j + 1) * w; ++c) {
                    sum += overlap(i * h, h, r * 32, 32) * overlap(j * w, w, c * 32, 32) *
                           gray.pixels[static_cast<size_t>(r * w + c)];
                }
            }
            const int64_t mean = (2 * sum + h * w) / (2 * h * w);
            small[static_cast<size_t>(32 * i + j)] = mean;
            ++counts[static_cast<size_t>(mean)];
        }
    }
    int64_t low = -1, high = -1, seen = 0;
    for (size_t v = 0; v < 256; ++v) {
        seen += counts[v];
        if (low < 0 && seen * 50 >= 1024) low = static_cast<int64_t>(v);
        if (high < 0 && seen * 50 >= 1024 * 49) high = static_cast<int64_t>(v);
    }
    std::array<int8_t, 1024> input{};
    const int64_t span = high - low;
    if (span < 8) return input;
    for (size_t i = 0; i < 1024; ++i) {
        const int64_t above = (small[i] - low) * 255 + span / 2;
        input[i] =
            static_cast<int8_t>(above < 0 ? -128 : std::min<int64_t>(above / span, 255) - 128);
    }
    return input;
}

// ---- The model ---------------------------------------------------------------------------------

class Classifier {
public:
    explicit Classifier(const char *path) : session_(environment_, path, options()) {
        Ort::AllocatorWithDefaultOptions allocator;
        input_ = session_.GetInputNameAllocated(0, allocator).get();
        output_ = session_.GetOutputNameAllocated(0, allocator).get();
        const Ort::ModelMetadata about = session_.GetModelMetadata();
        const auto told = [&](const char *key) {
            const auto text = about.LookupCustomMetadataMapAllocated(key, allocator);
            if (!text) throw std::runtime_error("the model does not say its " + std::string(key));
            return std::string(text.get());
        };
        std::istringstream symbols(told("alphabet"));
        for (std::string symbol; std::getline(symbols, symbol);) alphabet_.push_back(symbol);
        unit_ = std::stod(told("scale")) / std::stod(told("temperature"));
    }

    void classify(const std::string &path) {
        std::array<int8_t, 1024> pixels = preprocess(read_pgm(path));
        const std::array<int64_t, 4> shape{1, 32, 32, 1};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const Ort::Value input = Ort::Value::CreateTensor<int8_t>(
            memory, pixels.data(), pixels.size(), shape.data(), shape.size());
        const char *inputs[] = {input_.c_str()}, *outputs[] = {output_.c_str()};
        const auto found = session_.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);
        const std::vector<double> z = logits(found[0]);
        const size_t best = static_cast<size_t>(std::max_element(z.begin(), z.end()) - z.begin());
        double sum = 0;
        for (const double one : z) sum += std::exp(one - z[best]);
        const double log_sum = z[best] + std::log(sum);
        std::printf("%s\t%s\t%.6f\t%.6f\n", path.c_str(), alphabet_[best].c_str(), 1 / sum,
                    1 / (1 + std::exp(-log_sum)));
    }

private:
    static Ort::SessionOptions options() {
        Ort::SessionOptions options;
        // Without it onnx-qdq's products saturate on processors that have AVX2 but no VNNI.
        options.AddConfigEntry("session.x64quantprecision", "1");
        return options;
    }

    // Over the temperature: floats, or integers (onnx-int8) of a known unit.
    std::vector<double> logits(const Ort::Value &output) const {
        std::vector<double> z(alphabet_.size());
        const auto type = output.GetTensorTypeAndShapeInfo().GetElementType();
        for (size_t i = 0; i < z.size(); ++i) {
            if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
                z[i] = output.GetTensorData<float>()[i] * unit_;
            } else if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32) {
                z[i] = output.GetTensorData<int32_t>()[i] * unit_;
            } else {
                z[i] = output.GetTensorData<int8_t>()[i] * unit_;
            }
        }
        return z;
    }

    Ort::Env environment_;
    Ort::Session session_;
    std::string input_, output_;
    std::vector<std::string> alphabet_;
    double unit_ = 1;
};

int main(int count, char **arguments) {
    try {
        if (count < 3) throw std::runtime_error("usage: classify MODEL.onnx IMAGE.pgm…");
        Classifier classifier(arguments[1]);
        for (int i = 2; i < count; ++i) classifier.classify(arguments[i]);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "classify: %s\n", error.what());
        return 2;
    }
}
