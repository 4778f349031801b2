#include <vitis.hpp>
