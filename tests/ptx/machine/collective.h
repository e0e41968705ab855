#pragma once

#include "program.h"

namespace ptx {

Execute find_barrier(Instruction&);  // bar and barrier of a block, barrier.cluster

}  // namespace ptx
