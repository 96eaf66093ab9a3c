// AMX for processors without it: its instructions raise SIGILL, and a handler computes what they would have. For tests.
#ifndef CTILES_H
#define CTILES_H
#include <stdint.h>
/// From now on this process computes AMX instructions itself. Returns 0, or the error number.
int ltm_tiles_emulate(void);
/// How many AMX instructions were computed.
int64_t ltm_tiles_computed(void);
#endif
