// The command line of edge_classify: that of `python -m edge_runtime classify`, and a few more.
#pragma once

#include <string>
#include <vector>

namespace edgeglyph {

struct Options {
    std::string bundle, backend = "auto", isa = "auto";
    bool backend_named = false;  // on the command line
    std::string n2cube_library;
    std::string core;                 // device or model of the open core
    std::vector<std::string> images;  // "-" is standard input
    size_t top_k = 3;
    unsigned threads = 1;
    bool json = false, self_test = false, bench = false, times = false, help = false,
         version = false;
};

extern const char *const usage_text;

// Options may be shortened and joined to their values by '=', as argparse allows. Throws Error.
Options parse_options(int count, const char *const *arguments);

}  // namespace edgeglyph
