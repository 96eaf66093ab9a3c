#pragma once

#ifdef __cplusplus
extern "C"
#endif
/// The commit that this was built from, as 40 hexadecimal digits; empty where git's log of it is not beside the sources.
const char *ltm_commit(void);
