"""The kernels on an NVIDIA GPU, behind the functions of `tamis.kernels`, with the CPU's bits."""
