// The interface is a header alone; a plugin opened at run time implements it.
#include "pjrt_c_api.h"
