// A library that looks like a PJRT plugin, and is wrong in the way that KIND says.
#include <string.h>

#include "pjrt_c_api.h"

enum { NOTHING, OTHER_VERSION, TOO_OLD, BUSY, TWO_DEVICES };

static PJRT_Api api;
static int things[3];

static void message(PJRT_Error_Message_Args *args) {
  args->message = "RESOURCE_EXHAUSTED: another process holds the device";
  args->message_size = strlen(args->message);
}

static void destroy_error(PJRT_Error_Destroy_Args *args) {}
static PJRT_Error *initialize(PJRT_Plugin_Initialize_Args *args) { return NULL; }

static PJRT_Error *create(PJRT_Client_Create_Args *args) {
  if (KIND == BUSY) return (PJRT_Error *)&things[0];
  args->client = (PJRT_Client *)&things[0];
  return NULL;
}

static PJRT_Error *destroy(PJRT_Client_Destroy_Args *args) { return NULL; }

static PJRT_Error *platform(PJRT_Client_PlatformName_Args *args) {
  args->platform_name = "tpu";
  args->platform_name_size = 3;
  return NULL;
}

static PJRT_Error *devices(PJRT_Client_AddressableDevices_Args *args) {
  static PJRT_Device *list[2] = {(PJRT_Device *)&things[1], (PJRT_Device *)&things[2]};
  args->addressable_devices = list;
  args->num_addressable_devices = 2;
  return NULL;
}

const PJRT_Api *GetPjrtApi(void) {
  if (KIND == NOTHING) return NULL;
  api.struct_size = KIND == TOO_OLD ? offsetof(PJRT_Api, PJRT_Client_Create) : sizeof api;
  api.pjrt_api_version.struct_size = sizeof api.pjrt_api_version;
  api.pjrt_api_version.major_version = KIND == OTHER_VERSION ? PJRT_API_MAJOR + 9 : PJRT_API_MAJOR;
  api.pjrt_api_version.minor_version = PJRT_API_MINOR;
  api.PJRT_Error_Message = message;
  api.PJRT_Error_Destroy = destroy_error;
  api.PJRT_Plugin_Initialize = initialize;
  api.PJRT_Client_Create = create;
  api.PJRT_Client_Destroy = destroy;
  api.PJRT_Client_PlatformName = platform;
  api.PJRT_Client_AddressableDevices = devices;
  return &api;
}
