/*
** sources: the Lua files of the library as C. sources.cmake writes the table.
*/
#ifndef AKL_SOURCES_H
#define AKL_SOURCES_H

#include <stddef.h>

/* One Lua file. Everything is static. */
struct akl_source {
  const char *module; /* "akool.lipsync.loop" */
  const char *chunk;  /* "@akool/lipsync/loop.lua", for messages */
  const unsigned char *text;
  size_t size;
};

extern const struct akl_source akl_sources[];
extern const size_t akl_source_count;

#endif
