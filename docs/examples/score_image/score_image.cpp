// score_image MODEL PHOTO [X1 Y1 X2 Y2] — the probability that the face in PHOTO is an attack, and the model's verdict.
#include <bonafide/data/detector.h>
#include <bonafide/data/images/decode.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

int main(int argc, char** argv) try {
  if (argc != 3 && argc != 7) {
    std::fprintf(stderr, "usage: score_image MODEL PHOTO [X1 Y1 X2 Y2]\n");
    return 2;
  }
  const bonafide::Detector detector(argv[1]);                     // checkpoints/best/model.safetensors
  const bonafide::Image photo = bonafide::decode_image(argv[2]);  // or fill an Image: 8-bit RGB, row by row
  bonafide::Box face;                                             // without one the whole image is the face
  if (argc == 7) face = {std::strtof(argv[3], nullptr), std::strtof(argv[4], nullptr), std::strtof(argv[5], nullptr),
                         std::strtof(argv[6], nullptr)};
  const auto result = detector.detect(photo, face);
  std::printf("P(attack) %.4f: %s\n", double(result.score), bonafide::name_of(result.verdict));
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "score_image: %s\n", e.what());
  return 1;
}
