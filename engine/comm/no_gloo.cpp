// engine/comm/no_gloo.cpp — instead of gloo.cpp in a build without Gloo.
#include "engine/comm/gloo.h"

namespace bonafide {

std::unique_ptr<Communicator> gloo_communicator(std::shared_ptr<Store>, const std::string&, const GlooSettings&) {
  throw Error("several processes need Gloo: this program was built without it (BONAFIDE_GLOO=OFF)");
}

}  // namespace bonafide
