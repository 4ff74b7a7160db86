// apps/no_image_commands.cpp — the commands that are about image files, in a build without OpenCV: each says so.
#include "apps/commands.h"
#include "apps/common/exit_codes.h"
#include "apps/common/image_files.h"

namespace bonafide {

int run_crop(int, char**) { throw UsageError(kNoDecoder); }
int run_embed(int, char**) { throw UsageError(kNoDecoder); }
int run_synth(int, char**) { throw UsageError(kNoDecoder); }
int run_demo_data(int, char**) { throw UsageError(kNoDecoder); }

}  // namespace bonafide
