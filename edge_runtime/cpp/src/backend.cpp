#include "backend.h"

#include <cstdio>

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

void use_dpu(Classifier &classifier, const std::string &backend) {
    const Bundle &bundle = classifier.bundle();
    if (!bundle.dpu.given()) {
        refuse("bundle '" + bundle.name +
               "' holds no DPU kernel; make compile puts one in where "
               "the vendor's compiler is installed");
    }
    classifier.use(open_accelerator(backend, bundle.dpu));
}

}  // namespace

std::unique_ptr<Classifier> open_with_backend(const Options &options) {
    auto classifier = open_classifier(options.bundle, options.kernels.c_str());
    if (options.backend == "cpu") return classifier;
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
