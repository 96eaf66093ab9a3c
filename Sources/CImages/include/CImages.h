// Images as libpng and libjpeg read them. Their errors are jumps, which no Swift frame may lie in the way of: they stay on this side.

#pragma once

#include <stddef.h>

/// An image in memory: rows from the top, four bytes a pixel, red, green, blue and alpha.
struct ltm_image {
  size_t width;
  size_t height;
  /// Given to `free` by whoever asked for it, also after a problem; null where the header alone was read.
  unsigned char *pixels;
  /// What went wrong; empty otherwise.
  char problem[200];
};

/// Reads a PNG or a JPEG, or its size alone where `size_only` is not 0. An image of more than `limit` pixels, or of more than `count` bytes can
/// hold, is a problem, found before anything is allocated for it.
void ltm_read_image(const unsigned char *bytes, size_t count, int size_only, size_t limit, struct ltm_image *image);
