// The project's release; the build passes the one that edge_runtime/__init__.py states.
#pragma once

#ifndef EDGEGLYPH_VERSION
#define EDGEGLYPH_VERSION "unversioned"
#endif

constexpr const char *edgeglyph_version = EDGEGLYPH_VERSION;
