// Which instruction sets this machine has, and the kernels to use.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace tamis::cpu {

// Names of the levels that run here, lowest first: scalar, avx2, avx512, avx512bf16, avx512vnni.
std::vector<std::string> levels();

// The highest level, or the one that TAMIS_CPU_ISA names; std::invalid_argument where this machine
// lacks it. The variable is read at every call.
std::string level();
const Kernels& kernels();

// TAMIS_NUM_THREADS, or the processors this process may run on. Read at every call.
int thread_count();

}  // namespace tamis::cpu
