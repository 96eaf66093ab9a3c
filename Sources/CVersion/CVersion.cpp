#include "CVersion.h"

// Git adds a line to this file whenever the commit changes: `OLD NEW NAME <EMAIL> TIME\tWHAT`. The compiler reads it, so that
// a build after a commit is up to date without a step of its own; of the text only NEW of the last line is kept.
#pragma clang diagnostic ignored "-Wc23-extensions"

#if __has_embed("../../.git/logs/HEAD") == __STDC_EMBED_FOUND__
static constexpr unsigned char log[] = {
#embed "../../.git/logs/HEAD"
};
constexpr unsigned long digits = 40;

struct Commit {
  char text[digits + 1];
};

static consteval Commit last() {
  unsigned long start = sizeof log - 1;
  while (start > 0 && log[start - 1] != '\n') start--;
  Commit commit{};
  if (sizeof log - start < 2 * digits + 2 || log[start + digits] != ' ' || log[start + 2 * digits + 1] != ' ') return commit;
  for (unsigned long i = 0; i < digits; i++) commit.text[i] = (char)log[start + digits + 1 + i];
  return commit;
}

static constexpr Commit commit = last();
#else
static constexpr struct {
  char text[1];
} commit{};
#endif

const char *ltm_commit(void) { return commit.text; }
