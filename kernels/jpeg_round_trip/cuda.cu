// kernels/jpeg_round_trip/cuda.cu — the JPEG round trip on CUDA: what jpeg_round_trip.simt.h launches.
#include "kernels/jpeg_round_trip/jpeg_round_trip.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(jpeg_round_trip, JpegRoundTrip);
