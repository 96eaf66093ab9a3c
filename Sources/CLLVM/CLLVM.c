#include "LLVMHeaders.h"
