#include "options.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "error.h"

namespace edgeglyph {

const char *const usage_text =
    "usage: edge_classify --bundle FILE.egb [options] IMAGE...\n"
    "\n"
    "Says what character each image shows. IMAGE is a PNG, JPEG, BMP, PGM or PPM file,\n"
    "a folder of them, or - for an image on standard input.\n"
    "\n"
    "  --bundle FILE.egb   the classifier\n"
    "  --json              print JSON lines\n"
    "  --top-k K           how many classes to name (default: 3)\n"
    "  --threads N         work on N images at a time; 0 takes all processors (default: 1)\n"
    "  --backend B         auto, cpu, n2cube (DPU by DNNDK), vart (DPU by Vitis AI), core (the "
    "open\n"
    "                      core) or core-sim (its simulation); auto takes the DPU where there is\n"
    "                      one, else the CPU (default: auto)\n"
    "  --core DEVICE       where the core's registers are: /dev/uioN or /dev/mem@ADDRESS; of\n"
    "                      core-sim, its model's library (default: what is found)\n"
    "  --isa I             the CPU's instruction set: scalar, avx2, avx512vnni, neon or neon-dot;\n"
    "                      auto takes the fastest that it has (default: auto)\n"
    "  --self-test         compare checksums and golden vectors, say so, and end\n"
    "  --times             then print a JSON line of latency and throughput, on standard error\n"
    "  --bench             measure instead of classifying\n"
    "  --check-n2cube LIB  say whether DNNDK's libn2cube.so has the functions for n2cube, and end\n"
    "  --version, --help\n"
    "\n"
    "Exit code: 0; 1 where the self-test fails; 2 where an input cannot be used.\n";

namespace {

struct Option {
    const char *name;
    bool takes_value;
};

constexpr Option known[] = {
    {"--bundle", true},  {"--json", false},    {"--top-k", true},  {"--threads", true},
    {"--backend", true}, {"--isa", true},      {"--bench", false}, {"--self-test", false},
    {"--help", false},   {"--version", false}, {"--times", false}, {"--check-n2cube", true},
    {"--core", true},
};

const Option &find_option(const std::string &given) {
    const Option *found = nullptr;
    for (const Option &option : known) {
        if (given == option.name) return option;
        if (std::strncmp(option.name, given.c_str(), given.size()) == 0) {
            if (found)
                refuse("option " + given + " could be " + found->name + " or " + option.name);
            found = &option;
        }
    }
    if (!found) refuse("no option " + given + "; --help lists them");
    return *found;
}

size_t number(const std::string &option, const std::string &text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || text.size() > 9) refuse(option + " needs a number, not '" + text + "'");
    return std::stoul(text);
}

void set(Options &options, const std::string &name, const std::string &value) {
    if (name == "--bundle") options.bundle = value;
    if (name == "--backend") {
        options.backend = value;
        options.backend_named = true;
    }
    if (name == "--core") options.core = value;
    if (name == "--check-n2cube") options.n2cube_library = value;
    if (name == "--isa") options.isa = value;
    if (name == "--top-k") options.top_k = number(name, value);
    if (name == "--threads") options.threads = static_cast<unsigned>(number(name, value));
    options.json |= name == "--json";
    options.bench |= name == "--bench";
    options.times |= name == "--times";
    options.self_test |= name == "--self-test";
    options.help |= name == "--help";
    options.version |= name == "--version";
}

void check(const Options &options) {
    if (options.help || options.version || !options.n2cube_library.empty()) return;
    if (options.bundle.empty()) refuse("name the classifier with --bundle FILE.egb");
    if (options.images.empty() && !options.self_test && !options.bench) {
        refuse("name images, or folders of them");
    }
    if (options.top_k < 1) refuse("--top-k must be at least 1");
    if (options.threads > 1024) refuse("--threads must be at most 1024");
    const char *const backends[] = {"auto", "cpu", "n2cube", "vart", "core", "core-sim"};
    if (std::find(std::begin(backends), std::end(backends), options.backend) ==
        std::end(backends)) {
        refuse("no back end '" + options.backend +
               "'; there are auto, cpu, n2cube, vart, core, core-sim");
    }
}

}  // namespace

Options parse_options(int count, const char *const *arguments) {
    Options options;
    bool only_images = false;
    for (int i = 1; i < count; ++i) {
        const std::string argument = arguments[i];
        if (only_images || argument == "-" || argument.empty() || argument[0] != '-') {
            options.images.push_back(argument);
        } else if (argument == "--") {
            only_images = true;
        } else if (argument == "-h") {
            options.help = true;
        } else {
            const size_t equals = argument.find('=');
            const std::string name = argument.substr(0, equals);
            const Option &option = find_option(name);
            std::string value;
            if (equals != std::string::npos) {
                if (!option.takes_value) refuse(std::string(option.name) + " takes no value");
                value = argument.substr(equals + 1);
            } else if (option.takes_value) {
                if (++i == count) refuse(std::string(option.name) + " needs a value");
                value = arguments[i];
            }
            set(options, option.name, value);
        }
    }
    check(options);
    return options;
}

}  // namespace edgeglyph
