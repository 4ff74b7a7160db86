// kernels/emulator/no_cudnn.cpp — the emulated GPU has no cuDNN, whatever the build has: it runs our own kernels.
#include "kernels/conv2d/no_cudnn_conv.cpp"
