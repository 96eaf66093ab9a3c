#include "CImages.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

static void fail(struct ltm_image *image, const char *problem) {
  if (!image->problem[0]) snprintf(image->problem, sizeof image->problem, "%s", problem);
}

/// Whether an image may have this size: no more pixels than are allowed, and no more than so many bytes can hold.
static int allow(struct ltm_image *image, size_t width, size_t height, size_t limit, size_t held) {
  image->width = width;
  image->height = height;
  if (width == 0 || height == 0) {
    fail(image, "it has no pixels");
  } else if (width > limit / height) {
    snprintf(image->problem, sizeof image->problem, "it has %zu x %zu pixels, and may have %zu in all", width, height, limit);
  } else if (width * height > held) {
    snprintf(image->problem, sizeof image->problem, "its header says %zu x %zu pixels, more than the file can hold", width, height);
  }
  return !image->problem[0];
}

static void reserve(struct ltm_image *image) {
  image->pixels = malloc(image->width * image->height * 4);
  if (!image->pixels) fail(image, "there is no memory for it");
}

struct input {
  const unsigned char *bytes;
  size_t count;
};

static void take(png_structp png, png_bytep target, size_t count) {
  struct input *input = png_get_io_ptr(png);
  if (count > input->count) png_error(png, "the file is truncated");
  memcpy(target, input->bytes, count);
  input->bytes += count;
  input->count -= count;
}

static void png_failed(png_structp png, png_const_charp text) {
  fail(png_get_error_ptr(png), text);
  png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

/// Every kind of PNG as eight bits of red, green, blue and alpha.
static void settle_png(png_structp png, png_infop info) {
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

/// Everything that may jump. What it allocates is the caller's to free: a jump leaves its own variables undefined.
static void decode_png(
  png_structp png, png_infop info, struct input *input, int size_only, size_t limit, struct ltm_image *image, png_bytep **rows
) {
  if (setjmp(png_jmpbuf(png))) return;
  size_t count = input->count;
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  // Texts and profiles, which nobody reads.
  png_set_chunk_cache_max(png, 128);
  png_set_chunk_malloc_max(png, 4 << 20);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  // What a fuzzer makes of a file has no right sums, and what stands behind them is to be tried too.
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
#endif
  png_set_read_fn(png, input, take);
  png_read_info(png, info);
  size_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
  // Deflate makes at most 1032 bytes of one; a pixel takes at least a bit.
  if (!allow(image, width, height, limit, count > SIZE_MAX / 8256 ? SIZE_MAX : count * 8256) || size_only) return;
  settle_png(png, info);
  if (png_get_rowbytes(png, info) != width * 4) png_error(png, "its pixels are of an unknown kind");
  reserve(image);
  *rows = malloc(height * sizeof **rows);
  if (!image->pixels || !*rows) return fail(image, "there is no memory for it");
  for (size_t row = 0; row < height; row++) (*rows)[row] = image->pixels + row * width * 4;
  png_read_image(png, *rows);
}

static void read_png(const unsigned char *bytes, size_t count, int size_only, size_t limit, struct ltm_image *image) {
  struct input input = {bytes, count};
  png_bytep *rows = NULL;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, image, png_failed, png_warned);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (info) decode_png(png, info, &input, size_only, limit, image, &rows);
  else fail(image, "libpng cannot be used");
  png_destroy_read_struct(&png, &info, NULL);
  free(rows);
}

struct failure {
  struct jpeg_error_mgr manager;
  jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

static void leave(j_common_ptr info) {
  struct failure *failure = (struct failure *)info->err;
  failure->manager.format_message(info, failure->text);
  longjmp(failure->back, 1);
}

/// Of warnings those say that pixels are missing, which libjpeg would fill with grey. Others are of what cameras add.
static void warn(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
  case JWRN_EXTRANEOUS_DATA:
  case JWRN_ADOBE_XFORM:
  case JWRN_JFIF_MAJOR: return;
  default: leave(info);
  }
}

/// A few bytes a scan make each of them go over all pixels.
static void watch(j_common_ptr info) {
  struct failure *failure = (struct failure *)info->err;
  if (((j_decompress_ptr)info)->input_scan_number <= 500) return;
  snprintf(failure->text, sizeof failure->text, "it has more than 500 scans");
  longjmp(failure->back, 1);
}

static void decode_jpeg(
  struct jpeg_decompress_struct *jpeg, const unsigned char *bytes, size_t count, int size_only, size_t limit, struct ltm_image *image
) {
  jpeg_mem_src(jpeg, bytes, count);
  jpeg_read_header(jpeg, TRUE);
  // Of each block of 64 pixels one number at least is coded.
  size_t held = count > SIZE_MAX / 1024 ? SIZE_MAX : count * 1024;
  if (!allow(image, jpeg->image_width, jpeg->image_height, limit, held)) return;
  if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
    return fail(image, "its colours are CMYK, those of a printer, and not red, green and blue");
  if (size_only) return;
  jpeg->out_color_space = JCS_EXT_RGBA;
  jpeg_start_decompress(jpeg);
  reserve(image);
  if (!image->pixels) return;
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = image->pixels + (size_t)jpeg->output_scanline * jpeg->output_width * 4;
    jpeg_read_scanlines(jpeg, &row, 1);
  }
  jpeg_finish_decompress(jpeg);
}

static void read_jpeg(const unsigned char *bytes, size_t count, int size_only, size_t limit, struct ltm_image *image) {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_progress_mgr progress;
  struct failure failure;
  memset(&jpeg, 0, sizeof jpeg);
  memset(&progress, 0, sizeof progress);
  jpeg.err = jpeg_std_error(&failure.manager);
  failure.manager.error_exit = leave;
  failure.manager.emit_message = warn;
  progress.progress_monitor = watch;
  if (setjmp(failure.back)) {
    fail(image, failure.text);
  } else {
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &progress;
    decode_jpeg(&jpeg, bytes, count, size_only, limit, image);
  }
  jpeg_destroy_decompress(&jpeg);
}

void ltm_read_image(const unsigned char *bytes, size_t count, int size_only, size_t limit, struct ltm_image *image) {
  memset(image, 0, sizeof *image);
  static const unsigned char png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  if (count == 0) {
    fail(image, "it is empty");
  } else if (count >= sizeof png && memcmp(bytes, png, sizeof png) == 0) {
    read_png(bytes, count, size_only, limit, image);
  } else if (count >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) {
    read_jpeg(bytes, count, size_only, limit, image);
  } else {
    fail(image, "it is neither a PNG nor a JPEG");
  }
}
