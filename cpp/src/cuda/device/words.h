// The words of CUDA for compilers that do not know them, so that code that decides can be host code
// too.
#pragma once

#ifndef __CUDACC__
#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#endif
